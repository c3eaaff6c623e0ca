package worker

import (
	"github.com/ThreeDotsLabs/watermill"
	"go.uber.org/zap"
)

// zapAdapter lets Watermill log with zap. What Watermill calls info is about its own parts, of
// interest in debugging alone.
type zapAdapter struct{ log *zap.Logger }

func (z zapAdapter) Error(msg string, err error, fields watermill.LogFields) {
	z.log.Error(msg, append(zapFields(fields), zap.Error(err))...)
}

func (z zapAdapter) Info(msg string, fields watermill.LogFields) {
	z.log.Debug(msg, zapFields(fields)...)
}

func (z zapAdapter) Debug(msg string, fields watermill.LogFields) {
	z.log.Debug(msg, zapFields(fields)...)
}

func (z zapAdapter) Trace(string, watermill.LogFields) {}

func (z zapAdapter) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return zapAdapter{z.log.With(zapFields(fields)...)}
}

func zapFields(fields watermill.LogFields) []zap.Field {
	all := make([]zap.Field, 0, len(fields))
	for name, value := range fields {
		all = append(all, zap.Any(name, value))
	}
	return all
}
