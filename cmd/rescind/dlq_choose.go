package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// dlqChoice says which messages are meant: those that each kind of flag that was given allows.
type dlqChoice struct {
	ID     []string `name:"id" sep:"none" placeholder:"ID" help:"Id of a command or of a message; may be repeated."`
	Field  []string `name:"field" sep:"none" placeholder:"NAME" help:"Field that the reason is about, such as parameters.jobId; may be repeated."`
	Reason string   `name:"reason" placeholder:"GLOB" help:"The whole reason, * being any text and ? any character."`
	All    bool     `name:"all" help:"All that was read."`
}

// check requires a choice: no message is sent or deleted that was not asked for.
func (c *dlqChoice) check() error {
	some := len(c.ID) > 0 || len(c.Field) > 0 || c.Reason != ""
	switch {
	case !some && !c.All:
		return misused("which messages? Choose by --id, --field or --reason, or name --all")
	case some && c.All:
		return misused("--all is every message: leave it out, or --id, --field and --reason")
	}
	return nil
}

// from returns the messages that are chosen, and the ids that no message has.
func (c *dlqChoice) from(all []*deadLetter) (chosen []*deadLetter, unknown []string) {
	glob := globOf(c.Reason)
	for _, l := range all {
		if (len(c.ID) == 0 || slices.ContainsFunc(c.ID, l.named)) && (len(c.Field) == 0 || slices.Contains(c.Field, l.Field)) &&
			(c.Reason == "" || glob.MatchString(l.Reason)) {
			chosen = append(chosen, l)
		}
	}
	for _, id := range c.ID {
		if !slices.ContainsFunc(all, func(l *deadLetter) bool { return l.named(id) }) && !slices.Contains(unknown, id) {
			unknown = append(unknown, id)
		}
	}
	return chosen, unknown
}

// globOf returns what a pattern with * and ? matches.
func globOf(pattern string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(pattern)
	return regexp.MustCompile(`(?s)^` + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted) + `$`)
}

// notFound says which ids no message has.
func (d *deadLetters) notFound(unknown []string) error {
	if len(unknown) == 0 {
		return nil
	}
	why := fmt.Sprintf("no message has the id %s; read: %s", strings.Join(unknown, ", "), count(len(d.all), "message"))
	if d.left > 0 {
		why += fmt.Sprintf(" of about %d: raise --max", len(d.all)+d.left)
	}
	if d.others > 0 {
		why += fmt.Sprintf("; about %d are hidden, as others have received them: try again later", d.others)
	}
	return errors.New(why)
}
