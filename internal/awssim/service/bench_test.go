package service

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// Ten outcomes of seven attributes each, as the SDK publishes them.
func BenchmarkParseForm(b *testing.B) {
	form := url.Values{"Action": {"PublishBatch"}, "Version": {"2010-03-31"}, "TopicArn": {"arn:aws:sns:us-east-1:123456789012:outcomes"}}
	for i := range 10 {
		entry := fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i+1)
		form.Set(entry+"Id", strconv.Itoa(i))
		form.Set(entry+"Message", strings.Repeat(fmt.Sprintf(`{"commandId":"%d","status":"cancelled","counts":{"cancelled":1}},`, i), 16))
		for j, name := range []string{"action", "service", "status", "verdict", "campaign", "account", "region"} {
			attribute := fmt.Sprintf("%sMessageAttributes.entry.%d.", entry, j+1)
			form.Set(attribute+"Name", name)
			form.Set(attribute+"Value.DataType", "String")
			form.Set(attribute+"Value.StringValue", "value of "+name)
		}
	}
	body := []byte(form.Encode())
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := ParseForm(body); err != nil {
			b.Fatal(err)
		}
	}
}
