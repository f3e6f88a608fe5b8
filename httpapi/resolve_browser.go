package httpapi

import (
	"encoding/json"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// A stateFormat says in which form a browser login is handed out.
type stateFormat string

const (
	formatStorageState stateFormat = "storage_state" // as Playwright and others restore it
	formatCookieHeader stateFormat = "cookie_header" // for one address
	formatRaw          stateFormat = "raw"           // all that was captured, also what Playwright has no place for
)

func (f stateFormat) check(address string) error {
	switch f {
	case "", formatStorageState, formatRaw:
		return nil
	case formatCookieHeader:
		if u, err := url.Parse(address); err != nil || u.Host == "" {
			return &tokenvault.FieldError{Field: "url", Reason: "must be the absolute URL that the cookies are for"}
		}
		return nil
	}
	return &tokenvault.FieldError{Field: "format", Reason: "must be storage_state, cookie_header or raw"}
}

// browserOutput is a signed-in browser's state, for an agent that may have it.
type browserOutput struct {
	BrowserState json.RawMessage `json:"browserState,omitempty" jsonschema:"only with release token: an object as Playwright's storageState"`
	CookieHeader string          `json:"cookieHeader,omitempty" jsonschema:"only with release token and format cookie_header"`
	UserAgent    string          `json:"userAgent,omitempty" jsonschema:"of the browser in which the user signed in: services may want the same"`
	Viewport     *viewport       `json:"viewport,omitempty"`
}

type viewport struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

func browserOf(access *tokenvault.Access, format stateFormat, address string) (browserOutput, error) {
	state, err := access.Browser()
	if err != nil {
		return browserOutput{}, err
	}
	out := browserOutput{UserAgent: state.UserAgent}
	if format == formatCookieHeader {
		u, err := url.Parse(address)
		if err != nil {
			return browserOutput{}, tokenvault.ErrInvalid
		}
		header, err := access.CookieHeader(u)
		out.CookieHeader = header.Reveal()
		return out, err
	}
	if state.Width > 0 && state.Height > 0 {
		out.Viewport = &viewport{state.Width, state.Height}
	}
	text := state.StorageState
	if format != formatRaw {
		parsed, err := tokenvault.ParseStorageState(text)
		if err != nil {
			return browserOutput{}, err
		}
		parsed.SessionStorage, parsed.PartitionedLocalStorage = nil, nil
		if text, err = parsed.JSON(); err != nil {
			return browserOutput{}, err
		}
	}
	out.BrowserState = json.RawMessage(text.Reveal())
	return out, nil
}
