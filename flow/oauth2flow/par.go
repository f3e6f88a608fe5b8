package oauth2flow

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// push sends the authorization request to the provider directly (RFC 9126) and
// returns the URL that refers to it: nobody in between can read or change what is
// asked for.
func (f *Flow) push(ctx context.Context, in tokenvault.BeginInput, parameters url.Values) (url.Values, error) {
	call := tokenCall{provider: in.Provider, client: in.Client, op: "push the authorization request", form: maps.Clone(parameters), url: in.Provider.OAuth2.PushedAuthorizationURL}
	res, failed := f.post(ctx, call)
	if failed != nil {
		return nil, failed.err
	}
	var pushed struct {
		RequestURI string `json:"request_uri"`
		Error      string `json:"error"`
	}
	decoded := json.Unmarshal(res.body, &pushed)
	if decoded != nil || pushed.RequestURI == "" || res.status != http.StatusCreated && res.status != http.StatusOK {
		return nil, call.failed(res, answer{code: pushed.Error}).err
	}
	return url.Values{"client_id": {in.Client.ID}, "request_uri": {pushed.RequestURI}}, nil
}
