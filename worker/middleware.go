package worker

import (
	"context"
	"runtime/debug"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/queue"
)

// recoverer is the router's middleware for panics that befall a message before its command is
// claimed, or while the end of one is written: they are counted under the message's own id.
func (r *road) recoverer(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (out []*message.Message, err error) {
		defer func() {
			if v := recover(); v != nil {
				r.broken(msg.Context(), queue.LeaseFrom(msg.Context()), newPanic(v))
				out, err = nil, nil
			}
		}()
		return next(msg)
	}
}

// catch, deferred, takes a panic that befalls a claimed command.
func (r *road) catch(ctx context.Context, j *journey) {
	if v := recover(); v != nil {
		r.panicked(ctx, j, newPanic(v))
	}
}

func newPanic(v any) *lane.PanicError { return &lane.PanicError{Value: v, Stack: debug.Stack()} }
