package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/quotas"
)

// checkQuotas puts the quotas that would be in force beside the account's own, in each region. account is what the queues say,
// where STS says none.
func (d *doctor) checkQuotas(ctx context.Context, account string) (lines []Line) {
	account = cmp.Or(d.account, account)
	regions := d.o.Preflight.Regions
	if len(regions) == 0 {
		regions = []string{d.aws.Region}
	}
	began := time.Now()
	read, err := quotas.OfAccount(ctx, d.aws, regions)
	table := quotas.Table{Given: d.o.Quotas, Account: account, PerRegion: read}
	for _, region := range regions {
		at := handlers.Location{Account: account, Region: region}
		for _, over := range table.Exceeding(at, d.o.Permissions.Handlers) {
			allowed := "the account has"
			if over.From == quotas.BuiltIn {
				allowed = "AWS publishes"
			}
			lines = append(lines, Line{"quotas", region, Warning,
				fmt.Sprintf("RESCIND_QUOTAS sets %s=%s, and %s %s: AWS will throttle", over.Name, rate(over.Given), allowed, rate(over.Allowed)),
				"lower it in RESCIND_QUOTAS, or have it raised by AWS (Service Quotas, or its support)"})
		}
		if err == nil {
			lines = append(lines, Line{"quotas", region, Good, inForce(table.InForce(at, d.o.Permissions.Handlers)), ""})
		}
	}
	if err != nil {
		line := unread("quotas", strings.Join(regions, ","), "", err, time.Since(began))
		line.Says += "; the built-in ones are in force where nothing is set"
		lines = append(lines, line)
	}
	return lines
}

// rate writes a quota as RESCIND_QUOTAS has it.
func rate(q handlers.Quota) string {
	number := func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }
	return number(q.Rate) + "/" + number(q.Burst)
}

// inForce counts the quotas by where they are from.
func inForce(texts map[quotas.Source]string) string {
	var parts []string
	for _, source := range []struct {
		from quotas.Source
		name string
	}{{quotas.Given, "by RESCIND_QUOTAS"}, {quotas.ServiceQuotas, "the account's own (Service Quotas)"}, {quotas.BuiltIn, "built in, as AWS publishes them"}} {
		if list := texts[source.from]; list != "" {
			parts = append(parts, fmt.Sprintf("%d %s", strings.Count(list, ",")+1, source.name))
		}
	}
	return "in force: " + strings.Join(slices.Clip(parts), ", ")
}
