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

// Service makes a service's handlers, given the AWS configuration for a location.
type Service func(config func(handlers.Location) aws.Config) []handlers.Handler

// made are the handlers of services.
func made(services []Service, config func(handlers.Location) aws.Config) (all []handlers.Handler) {
	for _, service := range services {
		all = append(all, service(config)...)
	}
	return all
}

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
