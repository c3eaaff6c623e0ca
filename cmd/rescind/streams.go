package main

import (
	"fmt"
	"io"
	"os"

	"github.com/jedib0t/go-pretty/v6/text"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/terminal"
)

// streams are what a subcommand reads and writes; tests pass their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// safe returns streams on which nothing is written that a terminal would act on, whatever ids, file
// names and AWS's messages hold. Lines on stderr are broken at the terminal's width; those on stdout are not,
// since they may be JSON.
func (s streams) safe() streams {
	return streams{s.in, safeWriter{to: s.out}, safeWriter{to: s.err, breaks: true}}
}

// safeWriter is a stream of streams.safe. Each Write must have whole lines.
type safeWriter struct {
	to     io.Writer
	breaks bool
}

func (w safeWriter) Write(p []byte) (int, error) {
	width := 0
	if w.breaks {
		width = terminalWidth(w.to)
	}
	if _, err := io.WriteString(w.to, terminal.Text(string(p), width)); err != nil {
		return 0, fmt.Errorf("writing: %w", err)
	}
	return len(p), nil
}

// Fd lets Kong find out the terminal's width for its help texts.
func (w safeWriter) Fd() uintptr {
	if f, ok := w.to.(*os.File); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// screen is where text for people is drawn in columns and colours. What is written to it directly must
// be clean; see package terminal.
type screen struct {
	io.Writer
	width   int  // columns of the terminal; 0: there is none, and no limit
	colours bool // only on a terminal that has them, and without NO_COLOR (https://no-color.org)
	moves   bool // the cursor can be moved: lines can be drawn again
}

// screenOf returns the screen of a stream.
func screenOf(w io.Writer) screen {
	if safe, ok := w.(safeWriter); ok {
		w = safe.to
	}
	width := terminalWidth(w)
	moves := width > 0 && os.Getenv("TERM") != "dumb"
	return screen{Writer: w, width: width, moves: moves, colours: moves && os.Getenv("NO_COLOR") == ""}
}

// printf prints text, which need not be clean, and breaks its lines.
func (s screen) printf(format string, args ...any) {
	fmt.Fprint(s, terminal.Text(fmt.Sprintf(format, args...), s.width))
}

// colour puts clean text into the colour of a verdict.
func (s screen) colour(v handlers.Verdict, clean string) string {
	if !s.colours || v == "" {
		return clean
	}
	colour := text.Reset
	switch v {
	case handlers.Stopped:
		colour = text.FgGreen
	case handlers.Pending:
		colour = text.FgYellow
	case handlers.NotStopped:
		colour = text.FgRed
	case handlers.NotRun:
		colour = text.Faint
	}
	return colour.EscapeSeq() + clean + text.Reset.EscapeSeq()
}

// newLogger returns a logger that writes to stderr. The format "auto" is console on a terminal, else
// json.
func newLogger(s streams, level, format string) *zap.Logger {
	to := screenOf(s.err)
	if format == "auto" {
		format = "json"
		if to.width > 0 {
			format = "console"
		}
	}
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		parsed = zapcore.InfoLevel
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime, encoding.EncodeDuration = zapcore.ISO8601TimeEncoder, zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if format == "console" {
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoding.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	lines := safeWriter{to: to.Writer, breaks: format == "console"}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(lines)), parsed))
}

// terminalWidth returns the columns of the terminal that w is; 0 if w is no terminal.
func terminalWidth(w io.Writer) int {
	if safe, ok := w.(safeWriter); ok {
		w = safe.to
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 {
		return 80 // a terminal that does not say
	}
	return width
}
