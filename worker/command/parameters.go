package command

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// maxWhole is the largest whole number that a parameter may be, and its negative the
// smallest: 2^53-1, up to which the doubles of RFC 8785 keep whole numbers apart (RFC 7493,
// section 2.2). Beyond it two commands that differ could share a fingerprint.
const maxWhole = 1<<53 - 1

// action is what a decoder keeps of one handler.
type action struct {
	name    string
	fields  []handlers.Field
	names   []string // of the fields
	targets func(handlers.Parameters) ([]handlers.Target, error)
	// escalator is nil where the service has no stronger action.
	escalator handlers.Escalator
}

func newAction(h handlers.Handler) *action {
	a := &action{name: string(h.Action()), targets: h.Targets}
	a.escalator, _ = h.(handlers.Escalator)
	for _, f := range h.Fields() {
		f.Text.Pattern, f.KeyText.Pattern = whole(f.Text.Pattern), whole(f.KeyText.Pattern)
		a.fields = append(a.fields, f)
		a.names = append(a.names, f.Name)
	}
	return a
}

// hasStronger reports whether there is a stronger action for every target.
func (a *action) hasStronger(targets []handlers.Target) bool {
	return a.escalator != nil && !slices.ContainsFunc(targets, func(t handlers.Target) bool {
		_, ok := a.escalator.Stronger(t)
		return !ok
	})
}

// whole is a pattern that matches a text from end to end or not at all.
func whole(p *regexp.Regexp) *regexp.Regexp {
	if p == nil {
		return nil
	}
	return regexp.MustCompile(`\A(?:` + p.String() + `)\z`)
}

// read checks parameters against the action's fields, and makes of them the rest of the command. That no field
// knows a member is said first; then faults are found in the order of the fields.
func (a *action) read(r *reader, text jsontext.Value, c *Command) {
	sent, _ := read(text) // it was read before, as a part of the command
	r.only(a.names, sent, "parameters.", a.name)
	p := make(handlers.Parameters, len(a.fields))
	for i := range a.fields {
		f := &a.fields[i]
		if value := sent.value(f.Name); value != nil {
			p[f.Name] = r.parameter("parameters."+f.Name, f, value)
		}
	}
	a.complete(r, p, c.Reason)
	if r.fault != nil {
		return
	}
	targets, err := a.targets(p)
	switch {
	case errors.As(err, &r.fault):
	case err != nil:
		r.fail("parameters", "cannot be used: "+err.Error())
	}
	a.locate(r, p, c)
	if r.fault == nil {
		c.Parameters, c.Params, c.Targets = sent.withoutNulls(text), p, targets
	}
}

// complete fills the API's own reason, where the parameters leave it out, with the command's
// or the constant one, and finds what is missing.
func (a *action) complete(r *reader, p handlers.Parameters, given string) {
	for i := range a.fields {
		f := &a.fields[i]
		if _, there := p[f.Name]; there {
			continue
		}
		switch {
		case f.Reason && given == "":
			p[f.Name] = handlers.DefaultReason
		case f.Reason:
			if rule := broken(&f.Text, given); rule != "" {
				r.fail("reason", rule+", where it stands for parameters."+f.Name)
			}
			p[f.Name] = given
		case f.Required:
			r.fail("parameters."+f.Name, "is required")
		}
	}
}

// locate takes account and region from an ARN among the parameters, where the command names none. An ARN
// of another partition is one of a region that only that partition has: whether the worker serves it is
// for the worker's guard, as with every region.
func (a *action) locate(r *reader, p handlers.Parameters, c *Command) {
	for i := range a.fields {
		f := &a.fields[i]
		text := p.Text(f.Name)
		if r.fault != nil || text == "" || f.ARN == handlers.NoARN || f.ARN == handlers.MayBeARN && !strings.HasPrefix(text, "arn:") {
			continue
		}
		path := "parameters." + f.Name
		arn, ok := handlers.ParseARN(text)
		switch {
		case !ok || brokenRegion(arn.Region) != "" || brokenAccount(arn.Account) != "":
			r.fail(path, "must be an ARN that names an account and a region, not "+quote(text))
		case handlers.PartitionOf(arn.Region) != arn.Partition:
			r.fail(path, "must have a region of its partition: "+quote(arn.Region)+" is none of "+quote(arn.Partition))
		default:
			c.Account = r.byARN("account", c.Account, path, arn.Account)
			c.Region = r.byARN("region", c.Region, path, arn.Region)
		}
	}
}

// byARN is what an ARN at path says of a member, which may say the same.
func (r *reader) byARN(name, said, path, arn string) string {
	if r.value(name) != nil && said != arn {
		r.fail(name, fmt.Sprintf("must be that of %s, %q, or be left out, not %q", path, arn, said))
		return said
	}
	return arn
}

// parameter reads one value as its field's kind.
func (r *reader) parameter(path string, f *handlers.Field, value jsontext.Value) any {
	switch f.Kind {
	case handlers.String:
		return r.string(path, value, brokenBy(&f.Text))
	case handlers.Boolean:
		return r.flag(path, value)
	case handlers.Long:
		return r.number(path, value)
	case handlers.Strings:
		return r.list(path, f, value)
	case handlers.StringMap:
		return r.pairs(path, f, value)
	}
	r.fail(path, "has a kind that the worker cannot read: "+f.Kind.String())
	return nil
}

func (r *reader) number(path string, value jsontext.Value) int64 {
	if !r.is(path, value, "a whole number", jsontext.KindNumber) {
		return 0
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		r.fail(path, "must be a whole number without fraction or exponent, not "+clip(string(value), 64))
	case err != nil || n > maxWhole || n < -maxWhole:
		r.fail(path, fmt.Sprintf(
			"must lie between -%d and %[1]d, within which JSON keeps whole numbers apart, not %s", int64(maxWhole), clip(string(value), 64)))
	}
	return n
}

func (r *reader) list(path string, f *handlers.Field, value jsontext.Value) []string {
	if !r.is(path, value, "a list of strings", jsontext.KindBeginArray) {
		return nil
	}
	var texts []string
	seen := map[string]bool{}
	for i, item := range items(value) {
		at := fmt.Sprintf("%s[%d]", path, i)
		s := r.string(at, item, brokenBy(&f.Text))
		if f.Unique && seen[s] {
			r.fail(at, "must not repeat "+quote(s))
		}
		if r.fault != nil {
			return nil
		}
		seen[s] = true
		texts = append(texts, s)
	}
	r.count(path, f, len(texts))
	return texts
}

func (r *reader) pairs(path string, f *handlers.Field, value jsontext.Value) map[string]string {
	if !r.is(path, value, "an object", jsontext.KindBeginObject) {
		return nil
	}
	pairs := map[string]string{}
	sent, _ := read(value)
	for _, m := range sent {
		if rule := broken(&f.KeyText, m.name); rule != "" {
			r.fail(path, "has the key "+quote(m.name)+", which "+rule)
		}
		pairs[m.name] = r.string(path+"."+plain(m.name), m.value, brokenBy(&f.Text))
	}
	r.count(path, f, len(pairs))
	return pairs
}

// count holds a list or an object to its bounds.
func (r *reader) count(path string, f *handlers.Field, n int) {
	if rule := brokenCount(n, f.MinItems, f.MaxItems, "items"); rule != "" {
		r.fail(path, rule)
	}
}
