package main

import (
	"strings"
	"testing"
)

func TestCompletions(t *testing.T) {
	all := strings.Join(actionNames(), " ")
	for line, want := range map[string]string{
		"":                            "demo dev sim worker send cancel plan apply report history dlq doctor schema iam completion version",
		"s":                           "sim send schema",
		"worker --q":                  "--queue-url --quotas",
		"send --action ":              all,
		"send --action batch:C":       "batch:CancelJob",
		"send --action=batch:C":       "--action=batch:CancelJob",
		"send --action x --dr":        "--dry-run",
		"dlq ":                        "list send purge",
		"dlq p":                       "purge",
		"dlq send --n":                "--new-id",
		"send -p ":                    "",
		"send --json f":               "",
		"completion ":                 "bash zsh fish",
		"completion bash ":            "",
		"doctor --wor":                "--worker-role",
		"schema o":                    "outcome",
		"plan ":                       "batch emr fsx iot stepfunctions swf",
		"plan b":                      "batch",
		"cancel ":                     "batch emr fsx iot stepfunctions swf",
		"cancel emr --no":             "--no-wait",
		"cancel batch --unt":          "--until-empty",
		"plan batch --sub":            "--submitted-before --submitted-after",
		"apply --ra":                  "--rate",
		"worker --log-level ":         "debug info warn error",
		"worker --log-level=w":        "--log-level=warn",
		"worker --token ":             "",
		"worker --polic":              "", // hidden
		"iam t":                       "target-account-role",
		"iam worker --services=b":     "--services=batch",
		"nonsense --nothing=x --more": "",
	} {
		_, out, _ := ran(t, "", append([]string{completeWords}, strings.Split(line, " ")...)...)
		if got := strings.Join(strings.Fields(out), " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
