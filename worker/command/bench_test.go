package command_test

import (
	"testing"

	"github.com/rescindhq/rescind/worker/command"
)

func BenchmarkDecode(b *testing.B) {
	d, body := decoder(), []byte(page)
	for name, body := range map[string]string{
		"CloudEvents": cloud("/a", page), "SNS": notification(page), "EventBridge": bridged(page), "SNS around CloudEvents": notification(cloud("/a", page)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode([]byte(body), command.Message{ID: "m-1"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("command", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Decode(body, command.Message{ID: "m-1"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	c, err := d.Decode(body, command.Message{ID: "m-1"})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fingerprint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Fingerprint()
		}
	})
}
