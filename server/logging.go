package server

import (
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns the server's logger. Secrets redact themselves; on top of
// that, an attribute whose name says that it holds one is never written.
func NewLogger(w io.Writer, level, format string) *slog.Logger {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		min = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: min, ReplaceAttr: redact}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

func redact(_ []string, a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, word := range []string{"token", "secret", "password", "cookie", "authorization", "verifier", "api_key"} {
		if strings.Contains(name, word) {
			return slog.String(a.Key, "[redacted]")
		}
	}
	return a
}
