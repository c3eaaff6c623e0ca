package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// operation makes an operation of which every parameter that its request has no field for is refused
// by name. items may be nil.
func operation[I, O any](items func(*I) []string, do func(context.Context, *service.Call, *I) (*O, error)) service.Operation {
	op := service.JSON(items, do)
	op.Decode = func(r *service.Request) (any, error) {
		in := new(I)
		if len(r.Body) == 0 {
			return in, nil
		}
		err := json.Unmarshal(r.Body, in, json.RejectUnknownMembers(true))
		if unknown, ok := errors.AsType[*json.SemanticError](err); ok && errors.Is(unknown.Err, json.ErrUnknownName) {
			return nil, undone(strings.ReplaceAll(string(unknown.JSONPointer[1:]), "/", "."))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the request's JSON: %w", err)
		}
		return in, nil
	}
	return op
}

// refusedOperations are DynamoDB's other operations on tables and items.
var refusedOperations = []string{
	"BatchExecuteStatement", "DeleteTable", "DescribeLimits", "ExecuteStatement", "ExecuteTransaction",
	"ListTables", "ListTagsOfResource", "Scan", "TagResource", "TransactGetItems", "UntagResource",
}

// undone refuses what DynamoDB does and the simulator does not. The code is none of AWS's.
func undone(what string) *service.Error {
	return service.Refuse("NotSimulated", "the simulator does not do %s", what)
}

func invalid(format string, args ...any) *service.Error {
	return service.Refuse("ValidationException", format, args...)
}

// badValue is how most values are refused.
func badValue(format string, args ...any) *service.Error {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

// theTable returns the one table of a batch and what the batch has for it.
func theTable[V any](of map[string]V) (name string, given V, _ *service.Error) {
	if len(of) > 1 {
		return "", given, undone("a batch for several tables")
	}
	for name, given = range of {
		return name, given, nil
	}
	return "", given, invalid("1 validation error detected: Value at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
}
