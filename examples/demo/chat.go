package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

//go:embed page
var page embed.FS

// A message is what the chat page is told. It holds no secret.
type message struct {
	Call int    `json:"call"`
	Kind string `json:"kind"` // asked, paused, answer, failed, disconnected
	Text string `json:"text"`
	// ConnectURL is where the user connects; with paused.
	ConnectURL string `json:"connectUrl,omitempty"`
}

// chat is the host application.
type chat struct {
	url         string
	internalURL string          // for the vault, which may not know the name
	user        string          // its one user
	ctx         context.Context //nolint:containedctx // calls outlive the request that asked
	agent       *agent
	server      *client.Client // the application's own server, with a back end's key
	http        *http.Server

	mu           sync.Mutex // protects all below
	calls        int
	credentialID string
	history      []message
	changed      chan struct{} // closed and replaced with each message
}

// newChat starts the application at a name, for a user, with its two keys at the
// vault.
func newChat(ctx context.Context, d *demo, agentKey, backendKey tokenvault.Secret) (*chat, error) {
	asAgent, err := client.New(d.apiURL, agentKey, nil)
	if err != nil {
		return nil, err
	}
	asServer, err := client.New(d.apiURL, backendKey, nil)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	c := &chat{
		url: "http://" + d.mode.chatName() + ":" + port, internalURL: "http://127.0.0.1:" + port, user: d.mode.user(), ctx: ctx,
		agent: &agent{asAgent, d.issuer, d.bank.Bank}, server: asServer, changed: make(chan struct{}),
	}
	files, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("POST /ask", c.ask)
	mux.HandleFunc("POST /balance", c.askBalance)
	mux.HandleFunc("GET /phone", d.bank.phone)
	mux.HandleFunc("POST /disconnect", c.disconnect)
	mux.HandleFunc("GET /events", c.events)
	newSignIn(c, d.vaultURL, d.signing).routes(mux)
	c.http = &http.Server{Handler: http.NewCrossOriginProtection().Handler(mux), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = c.http.Serve(listener) }()
	return c, nil
}

func (c *chat) stop() { _ = c.http.Close() }

// say adds a message to the page.
func (c *chat) say(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, m)
	close(c.changed)
	c.changed = make(chan struct{})
}

// ask begins a call of the agent. The answer comes as an event, however long the
// call pauses.
func (c *chat) ask(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	c.calls++
	call := c.calls
	c.mu.Unlock()
	c.say(message{Call: call, Kind: "asked", Text: "Who am I?"})
	go func() {
		answer, id, err := c.agent.whoAmI(c.ctx, "run-"+strconv.Itoa(call), func(r tokenvault.AuthRequest) {
			c.say(message{Call: call, Kind: "paused", Text: r.Message(), ConnectURL: r.ConnectURL})
		})
		if err != nil {
			c.say(message{Call: call, Kind: "failed", Text: err.Error()})
			return
		}
		c.mu.Lock()
		c.credentialID = id
		c.mu.Unlock()
		c.say(message{Call: call, Kind: "answer", Text: answer})
	}()
	w.WriteHeader(http.StatusAccepted)
}

// askBalance begins a call that needs the bank.
func (c *chat) askBalance(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	c.calls++
	call := c.calls
	c.mu.Unlock()
	c.say(message{Call: call, Kind: "asked", Text: "What is my balance?"})
	go func() {
		answer, err := c.agent.balance(c.ctx, call, func(r tokenvault.AuthRequest) {
			c.say(message{Call: call, Kind: "paused", Text: r.Message(), ConnectURL: r.ConnectURL})
		})
		if err != nil {
			c.say(message{Call: call, Kind: "failed", Text: err.Error()})
			return
		}
		c.say(message{Call: call, Kind: "answer", Text: answer})
	}()
	w.WriteHeader(http.StatusAccepted)
}

// disconnect revokes the connection, as the application's server may for its
// user.
func (c *chat) disconnect(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	id := c.credentialID
	c.mu.Unlock()
	m := message{Kind: "disconnected", Text: "Disconnected."}
	if err := c.server.Revoke(r.Context(), client.Owner{UserID: c.user}, id); err != nil {
		m = message{Kind: "failed", Text: err.Error()}
	}
	c.say(m)
	w.WriteHeader(http.StatusAccepted)
}

// events streams the messages, from the first.
func (c *chat) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for sent := 0; ; {
		c.mu.Lock()
		pending, changed := c.history[sent:], c.changed
		c.mu.Unlock()
		for _, m := range pending {
			text, err := json.Marshal(m)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(w, "data: %s\n\n", text)
			sent++
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
