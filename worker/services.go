package worker

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/batch"
	"github.com/rescindhq/rescind/handlers/emr"
	"github.com/rescindhq/rescind/handlers/fsx"
	"github.com/rescindhq/rescind/handlers/iot"
	"github.com/rescindhq/rescind/handlers/stepfunctions"
	"github.com/rescindhq/rescind/handlers/swf"
)

// Service makes a service's handlers, given the AWS configuration for a place.
type Service func(config func(handlers.Place) aws.Config) []handlers.Handler

// Services are the services that Rescind knows. One line registers one.
func Services() []Service {
	return []Service{
		batch.New,
		emr.New,
		fsx.New,
		iot.New,
		stepfunctions.New,
		swf.New,
	}
}
