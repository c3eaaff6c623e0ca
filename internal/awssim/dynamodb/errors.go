package dynamodb

import (
	"github.com/rescindhq/rescind/internal/awssim/service"
)

// conflict is the reason of a cancelled transaction that met another one.
const conflict = "TransactionConflict"

func invalid(format string, args ...any) *service.Error {
	return service.Refuse("ValidationException", format, args...)
}

// badValue is how most values are refused.
func badValue(format string, args ...any) *service.Error {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

func noTable() *service.Error {
	return service.Refuse("ResourceNotFoundException", "Requested resource not found")
}

func unsupported(what string) *service.Error {
	return invalid("%s is not supported by this box", what)
}

// unmet is the refusal of a condition; item is the old one where it was asked for.
func unmet(item Item) *service.Error {
	refusal := service.Refuse("ConditionalCheckFailedException", "The conditional request failed")
	if item != nil {
		refusal.Fields = map[string]any{"Item": item}
	}
	return refusal
}
