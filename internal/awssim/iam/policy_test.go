package iam_test

import (
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim/iam"
)

func TestWhatAPolicyAllows(t *testing.T) {
	p, err := iam.Parse([]byte(`{"Version": "2012-10-17", "Statement": [
		{"Sid": "Jobs", "Effect": "Allow", "Action": "batch:CancelJob", "Resource": "arn:aws:batch:us-east-1:123456789012:job/*"},
		{"Sid": "Reads", "Effect": "Allow", "Action": ["batch:DescribeJobs", "dynamodb:GetItem"], "Resource": ["*"]},
		{"Sid": "NotThis", "Effect": "Deny", "Action": ["dynamodb:GetItem"], "Resource": ["*"],
			"Condition": {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": ["secret"]}}},
		{"Sid": "Session", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ["*"], "Condition": {"StringEquals": {"sts:RoleSessionName": ["a", "b"]}}},
		{"Sid": "Send", "Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": ["*"], "Condition": {"ArnEquals": {"aws:SourceArn": ["arn:a", "arn:b"]}}},
		{"Sid": "SendAll", "Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": ["arn:aws:sqs:::all"]},
		{"Sid": "NotSend", "Effect": "Deny", "Action": ["sqs:SendMessage"], "Resource": ["arn:aws:sqs:::all"], "Condition": {"ArnNotEquals": {"aws:SourceArn": ["arn:a"]}}}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	keys := func(values ...string) map[string][]string {
		return map[string][]string{"dynamodb:LeadingKeys": values}
	}
	session := func(name string) map[string][]string { return map[string][]string{"sts:RoleSessionName": {name}} }
	source := func(arn string) map[string][]string { return map[string][]string{"aws:SourceArn": {arn}} }
	for _, row := range []struct {
		access iam.Access
		want   bool
	}{
		{iam.Access{Action: "batch:CancelJob", Resource: "arn:aws:batch:us-east-1:123456789012:job/j:0"}, true},
		{iam.Access{Action: "batch:CancelJob", Resource: "arn:aws:batch:us-east-1:999999999999:job/j"}, false},
		{iam.Access{Action: "batch:CancelJob", Resource: "*"}, false},
		{iam.Access{Action: "batch:TerminateJob", Resource: "arn:aws:batch:us-east-1:123456789012:job/j"}, false},
		{iam.Access{Action: "batch:DescribeJobs", Resource: "*"}, true},
		{iam.Access{Action: "dynamodb:GetItem", Resource: "arn:aws:dynamodb:us-east-1:123456789012:table/t", Context: keys("a")}, true},
		{iam.Access{Action: "dynamodb:GetItem", Resource: "arn:aws:dynamodb:us-east-1:123456789012:table/t", Context: keys("a", "secret")}, false},
		{iam.Access{Action: "sts:AssumeRole", Resource: "r", Context: session("b")}, true},
		{iam.Access{Action: "sts:AssumeRole", Resource: "r", Context: session("c")}, false},
		{iam.Access{Action: "sts:AssumeRole", Resource: "r"}, false},
		{iam.Access{Action: "sqs:SendMessage", Resource: "q", Context: source("arn:b")}, true},
		{iam.Access{Action: "sqs:SendMessage", Resource: "q", Context: source("arn:c")}, false},
		{iam.Access{Action: "sqs:SendMessage", Resource: "q"}, false},
		{iam.Access{Action: "sqs:SendMessage", Resource: "arn:aws:sqs:::all", Context: source("arn:a")}, true},
		{iam.Access{Action: "sqs:SendMessage", Resource: "arn:aws:sqs:::all", Context: source("arn:b")}, false},
		{iam.Access{Action: "sqs:SendMessage", Resource: "arn:aws:sqs:::all"}, false},
	} {
		if got := p.Allows(row.access); got != row.want {
			t.Errorf("%+v: allowed %t, want %t", row.access, got, row.want)
		}
	}
}

func TestWhatIsNoPolicy(t *testing.T) {
	const good = `{"Version":"2012-10-17","Statement":[{"Sid":"One","Effect":"Allow","Action":["a:B"],"Resource":["arn:aws:a:r:1:x"]}]}`
	if _, err := iam.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"another version": {"2012", "2013"}, "a Sid with a dash": {"One", "O-ne"}, "no Sid": {`"One"`, `""`}, "another effect": {"Allow", "Permit"},
		"an action of no service": {"a:B", "B"}, "a resource that is no ARN": {"arn:aws:a:r:1:x", "x"}, "an unknown element": {"Action", "Acton"},
		"two of one Sid": {`"Statement":[`, `"Statement":[{"Sid":"One","Effect":"Allow","Action":"*:*","Resource":"*"},`},
		"two documents":  {`]}]}`, `]}]}{}`}, "an unknown operator": {`"Effect"`, `"Condition":{"Maybe":{}},"Effect"`},
	} {
		if _, err := iam.Parse([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s is taken for a policy", name)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, row := range []struct {
		pattern, resource string
		want              bool
	}{
		{"*", "x", true}, {"a*", "a", true}, {"a*c", "abc", true}, {"a*c", "abcd", false}, {"a*b*c", "aXbYbc", true}, {"abc", "abc", true}, {"abc", "abcd", false}, {"", "", true},
	} {
		if got := iam.Match(row.pattern, row.resource); got != row.want {
			t.Errorf("%q, %q: %t", row.pattern, row.resource, got)
		}
	}
}
