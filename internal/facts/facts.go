// Package facts reads what was found out about the AWS APIs: a committed copy of the house's
// aws.json, in which each entry names its source. Tests and internal/awssim read it, so that
// handlers, their tests and the simulator say the same about a state, a bound or a quota. It
// knows no service: whoever needs an entry that has no type here decodes it with [Raw].
package facts

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

//go:embed aws.json
var document []byte

// Service is what is known of one AWS service of the first release.
type Service struct {
	// Operations by the API's own names.
	Operations map[string]Operation `json:"operations"`
	// States are the lifecycle states of a target; Terminal those that it does not leave.
	States   []string `json:"states"`
	Terminal []string `json:"terminal"`
	// Cancellable is the service's own table of what can be stopped: its shape differs from
	// service to service; Batch's is read by [Service.CancellableBy].
	Cancellable json.RawMessage `json:"cancellable"`
	// Batch are the largest sizes of requests and pages, by the document's names
	// ("cancel_max", "describe_ids_max"); whatever is not a number there is left out.
	Batch Sizes `json:"batch"`
	// Throttle lists the codes by which the service asks for fewer calls.
	Throttle struct {
		Codes []ThrottleCode `json:"codes"`
	} `json:"throttle"`
	// Quotas are the rates that could be read, by operation ("ALL" and "ALL_API" stand for
	// the whole service). What the document says in prose is left out.
	Quotas Quotas `json:"quotas_per_account_region"`
}

// Operation is one API operation: how it travels, what it takes, how it refuses.
type Operation struct {
	Wire   Wire    `json:"wire"`
	Fields []Field `json:"fields"`
	Errors []Error `json:"errors"`
}

// Wire is how an operation is sent.
type Wire struct {
	Protocol    string `json:"protocol"` // "json", "rest-json"
	Method      string `json:"method"`
	Path        string `json:"path"`
	ContentType string `json:"content_type"`
	Target      string `json:"x_amz_target"` // X-Amz-Target; "" for REST
	SigningName string `json:"signing_name"`
}

// Field is one request parameter and its documented constraints; nil bounds are not published.
type Field struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // "string", "boolean", "integer", "long", "list", "map", "structure"
	Required bool     `json:"required"`
	Min      *int     `json:"min"`
	Max      *int     `json:"max"`
	Pattern  string   `json:"pattern"` // Java's dialect: Go's regexp does not read all of them
	Enum     []string `json:"enum"`
	In       string   `json:"in"`        // "uri", "querystring"; "" for the body
	WireName string   `json:"wire_name"` // where it differs from Name
	Item     *Field   `json:"item"`      // of a list; its Name is empty
}

// Error is one documented refusal.
type Error struct {
	Code string `json:"code"`
	HTTP int    `json:"http"` // 0 where none is published
}

// ThrottleCode is one way in which a service says "slower".
type ThrottleCode struct {
	Code  string `json:"code"`
	HTTP  int    `json:"http"`  // 0 where none is published
	Where string `json:"where"` // where else than in a whole refusal it stands
}

// Sizes are bounds by the document's names.
type Sizes map[string]int

// UnmarshalJSON keeps the numbers and leaves out the prose and the tables beside them.
func (s *Sizes) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("reading sizes: %w", err)
	}
	*s = Sizes{}
	for name, v := range raw {
		var n int
		if json.Unmarshal(v, &n) == nil {
			(*s)[name] = n
		}
	}
	return nil
}

// Quota is a rate: calls a second, and how many may come at once. Burst 0 is not published.
type Quota struct {
	Rate  float64
	Burst float64
}

// Quotas are rates by operation name.
type Quotas map[string]Quota

// UnmarshalJSON reads the three ways in which the document writes a rate (a number, "tps",
// "refill_per_s" with "burst"); what is prose is left out, and so is a document that is
// prose altogether.
func (q *Quotas) UnmarshalJSON(b []byte) error {
	*q = Quotas{}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		var prose string
		if json.Unmarshal(b, &prose) == nil {
			return nil
		}
		return fmt.Errorf("reading quotas: %w", err)
	}
	for name, v := range raw {
		var rate float64
		if json.Unmarshal(v, &rate) == nil {
			(*q)[name] = Quota{Rate: rate}
			continue
		}
		var entry struct {
			TPS    float64 `json:"tps"`
			Refill float64 `json:"refill_per_s"`
			Burst  float64 `json:"burst"`
		}
		if json.Unmarshal(v, &entry) != nil {
			continue
		}
		if entry.Refill == 0 {
			entry.Refill = entry.TPS
		}
		if entry.Refill > 0 {
			(*q)[name] = Quota{Rate: entry.Refill, Burst: entry.Burst}
		}
	}
	return nil
}

// CancellableBy returns the states that an operation stops, where the service's table is by
// operation, as Batch's is; nil where it is not.
func (s Service) CancellableBy(operation string) []string {
	var by map[string][]string
	if json.Unmarshal(s.Cancellable, &by) != nil {
		return nil
	}
	return by[operation]
}

var read = sync.OnceValues(func() (map[string]json.RawMessage, error) {
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(document, &sections); err != nil {
		return nil, fmt.Errorf("reading the embedded aws.json: %w", err)
	}
	return sections, nil
})

var core = sync.OnceValues(func() (map[string]Service, error) {
	var services map[string]Service
	err := Raw(&services, "core")
	return services, err
})

// Core returns the services of the first release by name: "batch", "emr", "fsx", "iot",
// "swf". The result is shared: do not change it. It panics where the embedded document cannot
// be read, which a test of this package rules out.
func Core() map[string]Service {
	services, err := core()
	if err != nil {
		panic(err)
	}
	return services
}

// Raw decodes the part of the document under path ("core", "swf", "close_status") into v.
func Raw(v any, path ...string) error {
	sections, err := read()
	if err != nil {
		return err
	}
	if len(path) == 0 {
		return errors.New("facts: no path")
	}
	part, ok := sections[path[0]]
	for i := 1; ok && i < len(path); i++ {
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(part, &inner); err != nil {
			return fmt.Errorf("facts: %q is not an object: %w", path[:i], err)
		}
		part, ok = inner[path[i]]
	}
	if !ok {
		return fmt.Errorf("facts: nothing under %q", path)
	}
	if err := json.Unmarshal(part, v); err != nil {
		return fmt.Errorf("facts: reading %q: %w", path, err)
	}
	return nil
}
