package tokenvault

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
)

// anyCookie finds what may hold cookies.
var anyCookie = regexp.MustCompile(`(?i)cookie`)

// mayDrive reports whether a driver may call a method of the Chrome DevTools
// Protocol. What is not listed it may not.
func mayDrive(method string, token bool) bool {
	domain, _, _ := strings.Cut(method, ".")
	switch {
	case beyondPages(method):
		return false
	case ofPages(domain):
		return token || !readsCredential(method)
	}
	return token && ofStorage(domain)
}

// passedOver reports whether a call is answered as if it were done, and is not:
// drivers begin with it, and stop if it fails. Downloads stay denied.
func passedOver(method string) bool {
	return method == "Browser.setDownloadBehavior" || method == "Page.setDownloadBehavior"
}

// beyondPages are methods that reach beyond the pages: files and settings of the
// machine, messages in messages, and the end of the browser.
func beyondPages(method string) bool {
	switch method {
	case "Browser.close", "Browser.crash", "Browser.crashGpuProcess", "Browser.executeBrowserCommand", "Browser.setDownloadBehavior",
		"DOM.getFileInfo", "DOM.setFileInputFiles", "Input.dispatchDragEvent", "Network.loadNetworkResource",
		"Page.addCompilationCache", "Page.setDownloadBehavior", "Security.setIgnoreCertificateErrors",
		"Security.setOverrideCertificateErrors", "Target.createBrowserContext", "Target.exposeDevToolsProtocol",
		"Target.sendMessageToTarget", "Target.setRemoteLocations":
		return true
	}
	return false
}

func ofPages(domain string) bool {
	switch domain {
	case "Accessibility", "Animation", "Browser", "Console", "CSS", "Debugger", "DOM", "DOMDebugger", "DOMSnapshot", "Emulation",
		"Fetch", "Input", "Inspector", "IO", "LayerTree", "Log", "Media", "Network", "Overlay", "Page", "Performance", "Profiler",
		"Runtime", "Schema", "Security", "ServiceWorker", "Target", "WebAuthn":
		return true
	}
	return false
}

func ofStorage(domain string) bool {
	switch domain {
	case "CacheStorage", "DOMStorage", "HeapProfiler", "IndexedDB", "Storage":
		return true
	}
	return false
}

// readsCredential are methods that read what is signed in with.
func readsCredential(method string) bool {
	switch method {
	case "Network.getAllCookies", "Network.getCookies", "Network.getRequestPostData", "Network.replayXHR",
		"Page.captureSnapshot", "Page.getCookies":
		return true
	}
	return false
}

// A drivenWire passes on what a driver may do, and hides what it may not see.
type drivenWire struct {
	inner   Wire
	token   bool // the credential itself may be handed out
	used    func()
	refused chan []byte // answers to what was not passed on
	arrived chan arrival
	ctx     context.Context //nolint:containedctx // of the goroutines of the wire; its cause is why the wire ended
	cancel  context.CancelCauseFunc
	closing sync.Once
}

// A refusal answers a call that was not passed on.
type refusal struct {
	ID        int64        `json:"id"`
	SessionID string       `json:"sessionId,omitempty"`
	Result    *struct{}    `json:"result,omitempty"`
	Error     *refusedCall `json:"error,omitempty"`
}

type refusedCall struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type arrival struct {
	message []byte
	err     error
}

func newDrivenWire(inner Wire, token bool, used func()) *drivenWire {
	ctx, cancel := context.WithCancelCause(context.Background())
	w := &drivenWire{inner: inner, token: token, used: used, refused: make(chan []byte, 64), arrived: make(chan arrival), ctx: ctx, cancel: cancel}
	go w.pump()
	return w
}

func (w *drivenWire) pump() {
	for {
		message, err := w.inner.Receive(w.ctx)
		select {
		case w.arrived <- arrival{message, err}:
		case <-w.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Receive returns the browser's next message, or the answer to a refused one.
func (w *drivenWire) Receive(ctx context.Context) ([]byte, error) {
	select {
	case message := <-w.refused:
		return message, nil
	case a := <-w.arrived:
		if a.err != nil || w.token {
			return a.message, a.err
		}
		return withoutCookies(a.message), nil
	case <-w.ctx.Done():
		return nil, context.Cause(w.ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Send passes a message on as it was read here, so that what was judged is what is
// done.
func (w *drivenWire) Send(ctx context.Context, message []byte) error {
	var call struct {
		ID        int64           `json:"id"`
		SessionID string          `json:"sessionId,omitempty"`
		Method    string          `json:"method"`
		Params    json.RawMessage `json:"params,omitempty"`
	}
	if err := json.Unmarshal(message, &call); err != nil {
		return invalid("message", "must be one call of the Chrome DevTools Protocol")
	}
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	w.used()
	if mayDrive(call.Method, w.token) {
		again, err := json.Marshal(call)
		if err != nil {
			return invalid("message", "must be one call of the Chrome DevTools Protocol")
		}
		return w.inner.Send(ctx, again)
	}
	said := refusal{ID: call.ID, SessionID: call.SessionID}
	if passedOver(call.Method) {
		said.Result = &struct{}{}
	} else {
		said.Error = &refusedCall{Code: -32000, Message: "refused by the vault: the agent's permission does not allow this method"}
	}
	answer, err := json.Marshal(said)
	if err != nil {
		return err
	}
	select {
	case w.refused <- answer:
		return nil
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the wire, and leaves the browser as it is.
func (w *drivenWire) Close() error { return w.end(ErrClosed) }

// end closes the wire for a reason.
func (w *drivenWire) end(reason error) error {
	var err error
	w.closing.Do(func() {
		w.cancel(reason)
		err = w.inner.Close()
	})
	return err
}

// withoutCookies returns a message without the cookies that went over the network:
// several events have them in their headers or beside.
func withoutCookies(message []byte) []byte {
	if !anyCookie.Match(message) {
		return message
	}
	var m struct {
		Method string         `json:"method"`
		All    map[string]any `json:"-"`
	}
	if json.Unmarshal(message, &m) != nil || !strings.HasPrefix(m.Method, "Network.") && !strings.HasPrefix(m.Method, "Fetch.") {
		return message
	}
	if json.Unmarshal(message, &m.All) != nil {
		return message
	}
	dropCookies(m.All)
	clean, err := json.Marshal(m.All)
	if err != nil {
		return nil
	}
	return clean
}

// dropCookies empties what holds cookies: headers by name, as a map or as pairs,
// the raw header texts, and the lists of cookies that Chromium adds.
func dropCookies(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			switch strings.ToLower(key) {
			case "cookie", "set-cookie":
				delete(v, key)
			case "headerstext", "requestheaderstext":
				delete(v, key)
			case "associatedcookies", "blockedcookies", "exemptedcookies":
				v[key] = []any{}
			default:
				dropCookies(inner)
			}
		}
		if name, ok := v["name"].(string); ok && (strings.EqualFold(name, "cookie") || strings.EqualFold(name, "set-cookie")) {
			v["value"] = ""
		}
	case []any:
		for _, inner := range v {
			dropCookies(inner)
		}
	}
}
