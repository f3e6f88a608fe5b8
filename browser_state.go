package tokenvault

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// MaxStorageState bounds the JSON of a captured state, in bytes.
const MaxStorageState = 8 << 20

// A StorageState is [BrowserState.StorageState], parsed: what a signed-in browser
// kept, in the form of Playwright's storageState and beside it, in x_ fields, what
// that form has no place for. It prints as "[redacted]".
type StorageState struct {
	Cookies []StateCookie `json:"cookies"`
	Origins []StateOrigin `json:"origins"`
	// SessionStorage is that of the tabs at the time. An entry's origin is an origin.
	SessionStorage []StateOrigin `json:"x_sessionStorage,omitempty"`
	// PartitionedLocalStorage is what frames of one site kept inside pages of another.
	// An entry's origin is Chromium's storage key: "https://frame.example/^0https://top.example".
	PartitionedLocalStorage []StateOrigin `json:"x_partitionedLocalStorage,omitempty"`
}

// A StateCookie is a cookie.
type StateCookie struct {
	Name  string    `json:"name"`
	Value StateText `json:"value"`
	// Domain is "www.example.com" for a cookie of this host only, and ".example.com"
	// for one of the hosts below, too.
	Domain   string  `json:"domain"`
	Path     string  `json:"path"`
	Expires  float64 `json:"expires"` // Unix time; -1: with the session
	HTTPOnly bool    `json:"httpOnly"`
	Secure   bool    `json:"secure"`
	SameSite string  `json:"sameSite"` // Strict, Lax or None
	// PartitionKey is the site at the top, "https://example.com", of a cookie that
	// belongs to what is shown there (CHIPS).
	PartitionKey         string `json:"partitionKey,omitempty"`
	HasCrossSiteAncestor bool   `json:"_crHasCrossSiteAncestor,omitempty"`
}

// A StateOrigin is what the pages of one origin kept.
type StateOrigin struct {
	Origin       string      `json:"origin"` // "https://www.example.com"
	LocalStorage []StateItem `json:"localStorage"`
	// IndexedDB is a list of databases in the form of Playwright.
	IndexedDB StateJSON `json:"indexedDB,omitempty"`
}

// A StateItem is an entry of a storage.
type StateItem struct {
	Name  string    `json:"name"`
	Value StateText `json:"value"`
}

// A StateText is a secret part of a state. It prints and logs as "[redacted]", and
// only JSON shows it.
type StateText string

// Format writes a fixed placeholder for every verb.
func (StateText) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns a fixed placeholder.
func (StateText) LogValue() slog.Value { return slog.StringValue(redacted) }

// A StateJSON is a secret part of a state that is JSON. It prints and logs as
// "[redacted]".
type StateJSON json.RawMessage

// Format writes a fixed placeholder for every verb.
func (StateJSON) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns a fixed placeholder.
func (StateJSON) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns the JSON.
func (j StateJSON) MarshalJSON() ([]byte, error) { return json.RawMessage(j).MarshalJSON() }

// UnmarshalJSON takes the JSON.
func (j *StateJSON) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(j).UnmarshalJSON(b) }

// Format writes a fixed placeholder for every verb.
func (StorageState) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns a fixed placeholder.
func (StorageState) LogValue() slog.Value { return slog.StringValue(redacted) }

// ParseStorageState reads a state. It fails with [ErrInvalid], and quotes nothing of
// the text.
func ParseStorageState(text Secret) (StorageState, error) {
	var s StorageState
	if len(text.Reveal()) > MaxStorageState {
		return s, fmt.Errorf("browser state: larger than %d MiB: %w", MaxStorageState>>20, ErrInvalid)
	}
	if err := json.Unmarshal([]byte(text.Reveal()), &s); err != nil {
		return StorageState{}, fmt.Errorf("browser state: not the JSON of a storageState: %w", ErrInvalid)
	}
	for i, c := range s.Cookies {
		if !c.valid() {
			return StorageState{}, fmt.Errorf("browser state: cookie %d is malformed: %w", i, ErrInvalid)
		}
	}
	for i, o := range s.Origins {
		if _, err := stateOrigin(o.Origin); err != nil {
			return StorageState{}, fmt.Errorf("browser state: origin %d is malformed: %w", i, ErrInvalid)
		}
	}
	return s, nil
}

// JSON returns the state as [ParseStorageState] reads it. It fails with
// [ErrInvalid] if it is larger than that.
func (s StorageState) JSON() (Secret, error) {
	if s.Cookies == nil {
		s.Cookies = []StateCookie{}
	}
	if s.Origins == nil {
		s.Origins = []StateOrigin{}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return Secret{}, fmt.Errorf("browser state: it holds something that is not JSON: %w", ErrInvalid)
	}
	if len(text) > MaxStorageState {
		return Secret{}, fmt.Errorf("browser state: larger than %d MiB: %w", MaxStorageState>>20, ErrInvalid)
	}
	return NewSecret(string(text)), nil
}

// Of returns what of the state belongs to a login: to its Domains.
func (s StorageState) Of(login Login) StorageState {
	var of StorageState
	for _, c := range s.Cookies {
		if login.CoversCookie(c.Domain) && (c.PartitionKey == "" || coversText(login, c.PartitionKey)) {
			of.Cookies = append(of.Cookies, c)
		}
	}
	of.Origins = originsOf(login, s.Origins)
	of.SessionStorage = originsOf(login, s.SessionStorage)
	for _, o := range s.PartitionedLocalStorage {
		if frame, top, ok := StorageKey(o.Origin); ok && coversText(login, frame) && coversText(login, top) {
			of.PartitionedLocalStorage = append(of.PartitionedLocalStorage, o)
		}
	}
	return of
}

func originsOf(login Login, origins []StateOrigin) (of []StateOrigin) {
	for _, o := range origins {
		if coversText(login, o.Origin) {
			of = append(of, o)
		}
	}
	return of
}

// coversText is as Login.Covers. Of a site, "https://example.com", the port is not
// told, so that any does.
func coversText(login Login, origin string) bool {
	u, err := stateOrigin(origin)
	if err != nil {
		return false
	}
	return login.Covers(u) || isLoopbackName(u.Hostname()) && u.Port() == "" && login.CoversCookie(u.Hostname())
}

// StorageKey splits a storage key of Chromium into the origin of a frame and the
// site at the top: "https://frame.example/^0https://top.example". For one without
// a site, "https://www.example.com/", top is empty. ok is false for what is neither.
func StorageKey(key string) (frame, top string, ok bool) {
	first, rest, partitioned := strings.Cut(key, "/^")
	if !partitioned {
		frame = strings.TrimSuffix(key, "/")
		_, err := stateOrigin(frame)
		return frame, "", err == nil
	}
	top, found := strings.CutPrefix(rest, "0")
	top, _, _ = strings.Cut(top, "^") // "^3…" may follow: whether another site is between
	_, err := stateOrigin(first)
	_, err2 := stateOrigin(top)
	return first, top, found && err == nil && err2 == nil
}

// stateOrigin parses an origin (RFC 6454 §6.2).
func stateOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != text {
		return nil, ErrInvalid
	}
	return u, nil
}
