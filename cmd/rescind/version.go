package main

import (
	"encoding/json"
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/rescindhq/rescind/worker/buildinfo"
)

// versionCmd is `rescind version`.
type versionCmd struct {
	JSON bool `name:"json" help:"Print one JSON object."`
}

// Run prints what this binary was built from.
func (c *versionCmd) Run(s streams) error {
	b := buildinfo.Read()
	text := b.String()
	if c.JSON {
		encoded, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("writing the version: %w", err)
		}
		text = string(encoded)
	}
	if _, err := fmt.Fprintln(s.out, text); err != nil {
		return fmt.Errorf("writing the version: %w", err)
	}
	return nil
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset prints the version and exits, whatever else the command line says.
func (versionFlag) BeforeReset(app *kong.Kong, s streams) error {
	if err := (&versionCmd{}).Run(s); err != nil {
		return err
	}
	app.Exit(exitDone)
	return nil
}
