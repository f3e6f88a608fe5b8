package httpapi

import (
	"net/http"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// enteredOutput is what the owner entered, and what comes of it in a request. It leaves
// the vault with release token only.
type enteredOutput struct {
	Fields  map[string]string `json:"fields,omitempty"  jsonschema:"only with release token, for tokenType api_key: what the owner entered, by field"`
	Headers map[string]string `json:"headers,omitempty" jsonschema:"only with release token, for tokenType api_key: the headers that authorize a request, in place of what it has there"`
	Query   map[string]string `json:"query,omitempty"   jsonschema:"only with release token, for tokenType api_key: the query parameters that authorize a request, likewise"`
}

func enteredOf(key tokenvault.KeyAuth, fields map[string]tokenvault.Secret) (enteredOutput, error) {
	r := &http.Request{URL: &url.URL{}, Header: http.Header{}}
	if err := key.Authorize(r, fields); err != nil {
		return enteredOutput{}, err
	}
	out := enteredOutput{Fields: make(map[string]string, len(fields)), Headers: make(map[string]string), Query: make(map[string]string)}
	for name, value := range fields {
		out.Fields[name] = value.Reveal()
	}
	for name := range r.Header {
		out.Headers[name] = r.Header.Get(name)
	}
	query := r.URL.Query()
	for name := range query {
		out.Query[name] = query.Get(name)
	}
	return out, nil
}
