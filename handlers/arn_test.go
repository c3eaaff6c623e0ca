package handlers_test

import (
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

func TestParseARN(t *testing.T) {
	for text, want := range map[string]handlers.ARN{
		"arn:aws:states:us-east-1:123456789012:execution:m:e": {"aws", "states", "us-east-1", "123456789012", "execution:m:e"},
		"arn:aws:swf::123456789012:/domain/d":                 {"aws", "swf", "", "123456789012", "/domain/d"},
		"arn:aws:s3:::bucket":                                 {"aws", "s3", "", "", "bucket"},
		"arn:aws:states:us-east-1:123456789012:":              {},
		"arn:aws:states:us-east-1:123456789012":               {},
		"arn::states:us-east-1:123456789012:x":                {},
		"ARN:aws:states:us-east-1:123456789012:x":             {},
		"https://arn:aws:a:b:c:d":                             {},
		"":                                                    {},
	} {
		if got, ok := handlers.ParseARN(text); got != want || ok != (want != handlers.ARN{}) {
			t.Errorf("%q: %+v, %t", text, got, ok)
		}
	}
}

func TestPartitionOf(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": "aws", "eu-west-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b",
		"us-isof-south-1": "aws-iso-f", "eu-isoe-west-1": "aws-iso-e", "eusc-de-east-1": "aws-eusc", "zz-nowhere-1": "aws", "": "aws",
	} {
		if got := handlers.PartitionOf(region); got != want {
			t.Errorf("%q is of %s, want %s", region, got, want)
		}
	}
}
