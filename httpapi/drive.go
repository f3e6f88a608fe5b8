package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/coder/websocket"

	"github.com/ai-token-vault/tokenvault"
)

const maxDriveMessage = 64 << 20

type driveInput struct {
	ownerQuery
	ID       string             `path:"id"`
	Release  tokenvault.Release `query:"release"`
	RunID    string             `query:"runId"`
	ThreadID string             `query:"threadId"`
}

// drive passes messages of the Chrome DevTools Protocol between an agent and the
// browser of a connection. An API key says who calls: browsers send none by
// themselves, so that the origin says nothing here.
func drive(a *api, w http.ResponseWriter, r *http.Request) {
	actor, in, err := prepare[driveInput](a, r)
	if err == nil {
		err = enabled(a.vault)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	p, err := a.prove(r, actor)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer p.stop()
	wire, err := a.vault.Drive(r.Context(), actor, tokenvault.DriveRequest{
		ConnectionID: in.ID, Release: in.Release, RunID: in.RunID, ThreadID: in.ThreadID,
	})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer func() { _ = wire.Close() }()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxDriveMessage)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	ended := make(chan error, 3)
	go func() { ended <- fromBrowser(ctx, conn, wire) }()
	go func() { ended <- toBrowser(ctx, conn, wire) }()
	go func() { ended <- keepAlive(ctx, conn) }()
	err = p.during(ended)
	switch {
	case errors.Is(err, tokenvault.ErrInvalid):
		_ = conn.Close(websocket.StatusUnsupportedData, "one call of the Chrome DevTools Protocol is expected")
	case errors.Is(err, tokenvault.ErrUnauthenticated):
		_ = conn.Close(closeRefused, "unauthenticated")
	default:
		closeWith(conn, err)
	}
}

func fromBrowser(ctx context.Context, conn *websocket.Conn, wire tokenvault.Wire) error {
	for {
		message, err := wire.Receive(ctx)
		if err != nil {
			return err
		}
		if err := write(ctx, conn, websocket.MessageText, message); err != nil {
			return err
		}
	}
}

func toBrowser(ctx context.Context, conn *websocket.Conn, wire tokenvault.Wire) error {
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := wire.Send(ctx, message); err != nil {
			return err
		}
	}
}
