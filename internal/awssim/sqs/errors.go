package sqs

import "github.com/rescindhq/rescind/internal/awssim/service"

// legacy stands before the codes that the older query protocol had for some errors; clients
// still see them, through the x-amzn-query-error header ("Errors" of each API page).
const legacy = "AWS.SimpleQueueService."

func refusal(code, queryCode, format string, args ...any) *service.Error {
	e := service.Refuse(code, format, args...)
	e.QueryCode = queryCode
	return e
}

// shape is an error whose legacy code is its own name with AWS's prefix.
func shape(code, format string, args ...any) *service.Error {
	return refusal(code, legacy+code, format, args...)
}

func noQueue() *service.Error {
	return refusal("QueueDoesNotExist", legacy+"NonExistentQueue", "The specified queue does not exist.")
}

// The API reference's "Common Errors" page has these two; how they are spelled in the JSON
// protocol is not documented.
func missing(parameter string) *service.Error {
	return refusal("MissingParameter", "MissingParameter", "The request must contain the parameter %s.", parameter)
}

func invalid(value any, parameter, reason string) *service.Error {
	return refusal("InvalidParameterValue", "InvalidParameterValue",
		"Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

func badHandle() *service.Error {
	return refusal("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
}

// plainError is an error whose legacy code is its own name.
func plainError(code, format string, args ...any) *service.Error {
	return refusal(code, code, format, args...)
}
