package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/coder/websocket"

	"github.com/ai-token-vault/tokenvault"
)

const (
	ticketWait   = 10 * time.Second
	maxTicket    = 4 << 10
	maxViewInput = 12 << 20 // a file for a page is the largest
	writeWait    = 15 * time.Second
	pingPause    = 20 * time.Second
)

// Why a live view was closed, as its close code. Others are those of RFC 6455.
const (
	closeEnded    = 4000 // the login is over; the reason says why the browser ended
	closeReplaced = 4001 // another view controls it now
	closeRefused  = 4003 // the ticket is none, used, or too old
	closeUnknown  = 4004 // there is no such browser here
)

type viewPath struct {
	ID   string `path:"id"`
	Node string `query:"node"`
}

type ticketMessage struct {
	Ticket tokenvault.Secret `json:"ticket"`
}

// liveView shows a browser over a WebSocket to whoever sends a ticket first, and
// does there what that person does.
func liveView(a *api, w http.ResponseWriter, r *http.Request) {
	var in viewPath
	err := enabled(a.vault)
	if err == nil {
		err = a.form(reflect.TypeFor[viewPath]()).bind(r, &in)
	}
	var node string
	if err == nil {
		node, err = a.viewNode(r, in.Node)
	}
	origin := r.Header.Get("Origin")
	if err == nil && origin != a.vault.PublicURL() && !slices.Contains(a.vault.Origins(), origin) {
		err = fmt.Errorf("live view from another origin: %w", tokenvault.ErrDenied)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if node != "" {
		a.sendOn(w, r, node)
		return
	}
	// The origin was compared above, with the registered ones too.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	a.showView(r.WithContext(context.WithoutCancel(r.Context())), conn, in.ID, origin)
}

func (a *api) showView(r *http.Request, conn *websocket.Conn, id, origin string) {
	ctx := r.Context()
	p, err := a.proveViewer(r, id)
	if err != nil {
		closeWith(conn, err)
		return
	}
	defer p.stop()
	view, err := a.openView(ctx, conn, id, origin)
	if err != nil {
		closeWith(conn, err)
		return
	}
	defer func() { _ = view.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 3)
	go func() { ended <- sendView(ctx, conn, view) }()
	go func() { ended <- takeInput(ctx, conn, view) }()
	go func() { ended <- keepAlive(ctx, conn) }()
	closeWith(conn, p.during(ended))
}

// proveViewer begins the proof of the user whose login is seen, as far as the request
// for the WebSocket has one: the cookies that pages of the vault's own origin and site
// send. Where a page sends a token instead, none comes here, and the ticket is all.
func (a *api) proveViewer(r *http.Request, id string) (*proof, error) {
	p := &proof{request: r, recheck: a.recheck, next: time.NewTimer(lookAgain)}
	caller, err := p.look()
	if err == nil {
		_, err = a.vault.Login(r.Context(), caller, id)
	}
	if err == nil {
		p.caller = caller
		return p, nil
	}
	p.stop()
	if errors.Is(err, tokenvault.ErrUnauthenticated) || errors.Is(err, tokenvault.ErrNotFound) || errors.Is(err, tokenvault.ErrDenied) {
		return p, nil
	}
	return nil, err
}

// openView takes the ticket, which is the first message.
func (a *api) openView(ctx context.Context, conn *websocket.Conn, id, origin string) (tokenvault.LiveView, error) {
	ctx, cancel := context.WithTimeout(ctx, ticketWait)
	defer cancel()
	conn.SetReadLimit(maxTicket)
	kind, text, err := conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	var first ticketMessage
	if kind != websocket.MessageText || strictJSON(text, &first) != nil {
		return nil, tokenvault.ErrUnauthenticated
	}
	return a.vault.OpenView(ctx, id, first.Ticket, origin)
}

func sendView(ctx context.Context, conn *websocket.Conn, view tokenvault.LiveView) error {
	for {
		update, err := view.Next(ctx)
		if err != nil {
			return err
		}
		kind, message := websocket.MessageBinary, update.Frame
		if update.Scene != nil {
			kind = websocket.MessageText
			if message, err = json.Marshal(update.Scene); err != nil {
				return err
			}
		}
		if err := write(ctx, conn, kind, message); err != nil {
			return err
		}
		if update.Scene != nil && update.Scene.Phase == tokenvault.BrowserEnded {
			return &tokenvault.BrowserError{End: update.Scene.End}
		}
	}
}

func write(ctx context.Context, conn *websocket.Conn, kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	return conn.Write(ctx, kind, message)
}

// takeInput does what the person does. What makes no sense is passed over: a page
// may have changed under the hand.
func takeInput(ctx context.Context, conn *websocket.Conn, view tokenvault.LiveView) error {
	conn.SetReadLimit(maxViewInput)
	for {
		kind, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var in tokenvault.ViewInput
		if kind != websocket.MessageText || strictJSON(text, &in) != nil {
			return tokenvault.ErrInvalid
		}
		if err := view.Do(ctx, in); err != nil && !errors.Is(err, tokenvault.ErrInvalid) {
			return err
		}
	}
}

// keepAlive notices a peer that is gone, and keeps proxies from closing what is
// silent.
func keepAlive(ctx context.Context, conn *websocket.Conn) error {
	for {
		select {
		case <-time.After(pingPause):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ping(ctx, conn); err != nil {
			return err
		}
	}
}

func ping(ctx context.Context, conn *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	return conn.Ping(ctx)
}

// closeWith tells the peer why. Nothing of an error's text leaves but the words of
// the contract.
func closeWith(conn *websocket.Conn, err error) {
	ended, _ := errors.AsType[*tokenvault.BrowserError](err)
	switch {
	case ended != nil:
		_ = conn.Close(closeEnded, string(ended.End))
	case errors.Is(err, tokenvault.ErrConflict):
		_ = conn.Close(closeReplaced, "replaced")
	case errors.Is(err, tokenvault.ErrUnauthenticated):
		_ = conn.Close(closeRefused, "ticket")
	case errors.Is(err, tokenvault.ErrDenied):
		_ = conn.Close(closeRefused, "denied")
	case errors.Is(err, tokenvault.ErrNotFound):
		_ = conn.Close(closeUnknown, "unknown")
	case errors.Is(err, tokenvault.ErrInvalid):
		_ = conn.Close(websocket.StatusUnsupportedData, "invalid")
	default:
		_ = conn.Close(websocket.StatusGoingAway, "")
	}
}

// strictJSON reads one object with no unknown fields.
func strictJSON(text []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(to)
}
