package main

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/outcome"
)

// schemaCmd is `rescind schema`.
type schemaCmd struct {
	Of string `arg:"" name:"command|outcome" optional:"" enum:"command,outcome" default:"command" help:"The schema to print; command by default."`
}

// Run prints the JSON Schema of commands, with all actions of this binary, or of outcomes.
func (c *schemaCmd) Run(s streams) error {
	text := outcome.Schema()
	if c.Of == "command" {
		var all []handlers.Handler
		for _, service := range worker.Services() {
			all = append(all, service(func(handlers.Location) aws.Config { return aws.Config{} })...)
		}
		text = command.Schema(all)
	}
	if _, err := s.out.Write(text); err != nil {
		return fmt.Errorf("writing the schema: %w", err)
	}
	return nil
}
