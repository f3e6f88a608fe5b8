package tokenvault

import (
	"fmt"
	"log/slog"
)

// A Secret is text that must not be shown. It prints, logs and marshals as
// "[redacted]"; only [Secret.Reveal] returns the text. The zero Secret is empty.
//
// The text is held behind a pointer since package fmt cannot call methods on a
// value in another struct's unexported field, and would print a string there.
type Secret struct{ text *string }

const redacted = "[redacted]"

// NewSecret returns text wrapped as a Secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the wrapped text. Call it where the text leaves the process,
// and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.text == nil || *s.text == "" }

// String returns a fixed placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a fixed placeholder.
func (s Secret) GoString() string { return redacted }

// Format writes a fixed placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns a fixed placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a fixed placeholder, so that no encoder writes the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText wraps text, so that configuration and requests decode straight
// into a Secret.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
