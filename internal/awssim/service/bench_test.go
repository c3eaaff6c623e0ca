package service

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Ten outcomes of seven attributes each, in the order that a worker writes them in, and sorted
// as the SDK sorts them.
func BenchmarkParseForm(b *testing.B) {
	parameters := []string{"Action=PublishBatch", "Version=2010-03-31", "TopicArn=" + url.QueryEscape("arn:aws:sns:us-east-1:123456789012:outcomes")}
	for i := range 10 {
		entry := fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i+1)
		message := strings.Repeat(fmt.Sprintf(`{"commandId":"%d","status":"cancelled","counts":{"cancelled":1}},`, i), 16)
		parameters = append(parameters, entry+"Id="+strconv.Itoa(i), entry+"Message="+url.QueryEscape(message))
		for j, name := range []string{"action", "service", "status", "verdict", "campaign", "account", "region"} {
			attribute := fmt.Sprintf("%sMessageAttributes.entry.%d.", entry, j+1)
			parameters = append(parameters, attribute+"Name="+name, attribute+"Value.DataType=String", attribute+"Value.StringValue=value+of+"+name)
		}
	}
	for _, order := range []string{"numbered", "sorted"} {
		if order == "sorted" {
			slices.Sort(parameters)
		}
		body := []byte(strings.Join(parameters, "&"))
		b.Run(order, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := ParseForm(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
