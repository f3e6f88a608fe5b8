package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"reflect"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// hopHeader marks what one process of the vault sends on to another, so that it
	// is sent on once.
	hopHeader   = "Tokenvault-Hop"
	nodePurpose = "live_view_node"
	nodeTTL     = time.Minute
)

// sessionNamer is input that names a login.
type sessionNamer interface{ session() string }

// onNode has a route answered by the process that runs the browser it is about. The
// user is proven there: all processes can. Bodies are small, and read here first.
func onNode[In sessionNamer](rt route) route {
	serve := rt.serve
	rt.serve = func(a *api) http.Handler {
		here := serve(a)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			replay, err := keepBody(r)
			if err != nil {
				a.fail(w, r, err)
				return
			}
			node := a.nodeOf(r, reflect.TypeFor[In]())
			replay()
			if node == "" {
				here.ServeHTTP(w, r)
				return
			}
			a.sendOn(w, r, node)
		})
	}
	return rt
}

// nodeOf returns where the browser runs that a request is about, if that is known
// and elsewhere. Whatever is wrong with the request is told by its own handler.
func (a *api) nodeOf(r *http.Request, in reflect.Type) string {
	if a.vault.NodeURL() == "" {
		return ""
	}
	actor, err := a.identify(r)
	if err != nil {
		return ""
	}
	v := reflect.New(in)
	if err := a.form(in).bind(r, v.Interface()); err != nil {
		return ""
	}
	named, ok := reflect.TypeAssert[sessionNamer](v.Elem())
	if !ok {
		return ""
	}
	l, err := a.vault.Login(r.Context(), actor, named.session())
	if err != nil {
		return ""
	}
	return l.NodeURL
}

// sendOn passes a request on to another process, with its headers, and a WebSocket
// with it.
func (a *api) sendOn(w http.ResponseWriter, r *http.Request, node string) {
	to, err := url.Parse(node)
	if err != nil || r.Header.Get(hopHeader) != "" {
		a.fail(w, r, fmt.Errorf("a request was sent on twice: %w", errNodeGone))
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host // origins are compared with it
			p.SetXForwarded()
			p.Out.Header.Set(hopHeader, "1")
		},
		ModifyResponse: func(res *http.Response) error {
			for name := range w.Header() { // the other process sets the same ones
				res.Header.Del(name)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, context.Canceled) {
				err = r.Context().Err()
			}
			a.fail(w, r, fmt.Errorf("%w: %w", errNodeGone, err))
		},
		FlushInterval: -1,
	}
	proxy.ServeHTTP(w, r)
}

// viewURL returns the URL of a live view's WebSocket. It says, sealed, which process
// shows it: before its first message nobody knows whose view it is.
func (a *api) viewURL(r *http.Request, id string, t tokenvault.ViewTicket) (string, error) {
	u, err := url.Parse(a.vault.PublicURL())
	if err != nil {
		return "", err
	}
	u.Scheme = map[string]string{"https": "wss", "http": "ws"}[u.Scheme]
	u.Path = a.vault.Mount() + "/browser-login/" + id + "/view"
	if t.NodeURL != "" {
		node, err := a.vault.SealToken(r.Context(), nodePurpose, []byte(t.NodeURL), nodeTTL)
		if err != nil {
			return "", err
		}
		u.RawQuery = url.Values{"node": {node.Reveal()}}.Encode()
	}
	return u.String(), nil
}

// viewNode returns the process that a view's URL names; empty if that is this one.
func (a *api) viewNode(r *http.Request, sealed string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	node, err := a.vault.OpenToken(r.Context(), nodePurpose, tokenvault.NewSecret(sealed))
	if err != nil || string(node) == a.vault.NodeURL() {
		return "", err
	}
	return string(node), nil
}
