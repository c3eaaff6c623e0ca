// Package quotas says at which rate AWS may be called: what is set (RESCIND_QUOTAS), else what Service Quotas
// says of the account, else what AWS publishes, which the handlers have. It paces nothing.
package quotas

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// Set is call rates by "service:Operation", or "service:*" for all of a service together.
// A rate of 0 is no limit.
type Set map[string]handlers.Quota

// Parse reads RESCIND_QUOTAS: "service:Operation=rate/burst", comma separated. Without a
// burst it is the rate. Rates are calls a second, above 0. An action's name means its operation
// ("batch:CancelJob" is the quota of CancelJobs). A name that no handler has is an error, which says
// the nearest one: a misspelt quota would be none. Every fault is an error of its own in what is returned.
func Parse(text string, all []handlers.Handler) (Set, error) {
	set, known := make(Set), names(all)
	var faults []error
	for each := range strings.SplitSeq(text, ",") {
		if each = strings.TrimSpace(each); each == "" {
			continue
		}
		name, q, err := parseOne(each, known)
		if _, twice := set[name]; err == nil && twice {
			err = fmt.Errorf("quota %q: %s stands there twice; leave one", each, name)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		set[name] = q
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return set, nil
}

func parseOne(text string, known map[string]string) (string, handlers.Quota, error) {
	none := handlers.Quota{}
	name, value, ok := strings.Cut(text, "=")
	service, operation, named := strings.Cut(name, ":")
	service, operation = strings.TrimSpace(service), strings.TrimSpace(operation)
	if !ok || !named || service == "" || operation == "" {
		return "", none, fmt.Errorf("quota %q must read service:Operation=rate/burst, for example batch:CancelJobs=20/40", text)
	}
	rateText, burstText, hasBurst := strings.Cut(value, "/")
	rate, err := quotaNumber(rateText)
	if err != nil {
		return "", none, fmt.Errorf("quota %q: rate %w", text, err)
	}
	burst := rate
	if hasBurst {
		if burst, err = quotaNumber(burstText); err != nil {
			return "", none, fmt.Errorf("quota %q: burst %w", text, err)
		}
	}
	key, ok := known[service+":"+operation]
	if !ok {
		return "", none, unknownQuota(text, service+":"+operation, known)
	}
	return key, handlers.Quota{Rate: rate, Burst: burst}, nil
}

// maxQuota is far above any AWS quota; it keeps sums of rates and times in range.
const maxQuota = 1e6

func quotaNumber(text string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n > 0 && n <= maxQuota) {
		return 0, fmt.Errorf("%q must be a number above 0, and at most %.0f", strings.TrimSpace(text), maxQuota)
	}
	return n, nil
}

// operations are the calls of a handler.
func operations(h handlers.Handler) []operation {
	list := []operation{of(h, h.Cancel()), of(h, h.Read())}
	if r, ok := h.(handlers.Resolver); ok {
		list = append(list, of(h, r.Resolve()), of(h, r.Last()))
	}
	if l, ok := h.(handlers.Lister); ok {
		list = append(list, of(h, l.List()))
	}
	return list
}

// operation is what is published of a call's quotas.
type operation struct {
	service, name string
	own           func(region string) handlers.Quota
	all           handlers.Quota // of the service
}

func of[R any](h handlers.Handler, call handlers.Call[R]) operation {
	return operation{h.Action().Service(), call.Operation, call.QuotaAt, call.ServiceQuota}
}

// names are the names that RESCIND_QUOTAS may give, and the quota that each means: those of every
// operation that handlers call, "service:*", and the actions'.
func names(all []handlers.Handler) map[string]string {
	known := make(map[string]string)
	for _, h := range all {
		for _, o := range operations(h) {
			known[o.service+":"+o.name] = o.service + ":" + o.name
			known[o.service+":*"] = o.service + ":*"
		}
		known[string(h.Action())] = h.Action().Service() + ":" + h.Cancel().Operation
	}
	return known
}

func unknownQuota(each, name string, known map[string]string) error {
	all := slices.Sorted(maps.Keys(known))
	if near := command.Nearest(name, all); near != "" {
		return fmt.Errorf("quota %q: %q is no operation that is called; did you mean %s?", each, name, near)
	}
	return fmt.Errorf("quota %q: %q is no operation that is called; those are %s", each, name, strings.Join(all, ", "))
}
