package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
)

// A message is what the chat page is told. It holds no secret.
type message struct {
	Call int    `json:"call"`
	Kind string `json:"kind"` // asked, paused, answer, failed
	Text string `json:"text,omitempty"`
	// Tool is what the agent calls; with asked.
	Tool string `json:"tool,omitempty"`
	// AuthRequest is what the user has to settle, as the vault says it; with paused.
	AuthRequest *tokenvault.AuthRequest `json:"authRequest,omitempty"`
}

// A question is one that the page offers. The agent answers it with one tool.
type question struct {
	text string
	call func(ctx context.Context, runID string, pause func(tokenvault.AuthRequest)) (answer string, err error)
}

// chat is the host application.
type chat struct {
	url         string
	internalURL string          // for the vault, which may not know the name
	user        string          // its one user
	ctx         context.Context //nolint:containedctx // calls outlive the request that asked
	server      *client.Client  // the application's own server, with a back end's key
	http        *http.Server

	mu      sync.Mutex // protects all below
	calls   int
	history []message
	changed chan struct{} // closed and replaced with each message
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
		server: asServer, changed: make(chan struct{}),
	}
	a := &agent{asAgent, d.issuer, d.bank.Bank}
	s := newSignIn(c, d)
	mux := http.NewServeMux()
	s.routes(mux)
	mux.Handle("GET /", d.page())
	mux.HandleFunc("GET /phone", d.bank.phone)
	mux.HandleFunc("POST /vault-session", s.only(c.openSession(d.vaultURL)))
	mux.HandleFunc("POST /ask/{tool}", s.only(c.ask(map[string]question{
		"who_am_i":        {"Who am I?", a.whoAmI},
		"account_balance": {"What is my balance?", a.balance},
	})))
	mux.HandleFunc("GET /events", s.only(c.events))
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
func (c *chat) ask(questions map[string]question) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tool := r.PathValue("tool")
		q, ok := questions[tool]
		if !ok {
			http.NotFound(w, r)
			return
		}
		c.mu.Lock()
		c.calls++
		call := c.calls
		c.mu.Unlock()
		c.say(message{Call: call, Kind: "asked", Text: q.text, Tool: tool})
		go func() {
			answer, err := q.call(c.ctx, "run-"+strconv.Itoa(call), func(r tokenvault.AuthRequest) {
				c.say(message{Call: call, Kind: "paused", AuthRequest: &r})
			})
			if err != nil {
				c.say(message{Call: call, Kind: "failed", Text: sorry(err)})
				return
			}
			c.say(message{Call: call, Kind: "answer", Text: answer})
		}()
		w.WriteHeader(http.StatusAccepted)
	}
}

// sorry says in the agent's words why there is no answer.
func sorry(err error) string {
	ended, ok := errors.AsType[*tokenvault.AuthRequiredError](err)
	switch {
	case !ok:
		return err.Error()
	case ended.Request.Status == tokenvault.AuthDeclined:
		return "You said no, so I stopped here."
	case ended.Request.Status == tokenvault.AuthExpired:
		return "Nobody connected in time, so I stopped here."
	default:
		return "That could not be connected, so I stopped here."
	}
}

// openSession hands the page a session of its user at the vault. It can be used
// from the page's own origin only, and for 15 minutes: the page asks again.
func (c *chat) openSession(vaultURL string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := c.server.CreateSession(r.Context(), client.Owner{UserID: c.user}, c.url)
		if err != nil {
			http.Error(w, "The vault does not open a session.", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"vaultUrl": vaultURL, "token": session.Token.Reveal(), "expiresAt": session.ExpiresAt,
		})
	}
}

// events streams the messages: all, or those after the one that a page saw last
// before it lost the connection.
func (c *chat) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	sent := 0
	if last, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil && last >= 0 {
		sent = last + 1
	}
	for {
		c.mu.Lock()
		sent = min(sent, len(c.history))
		pending, changed := c.history[sent:], c.changed
		c.mu.Unlock()
		for _, m := range pending {
			text, err := json.Marshal(m)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", sent, text)
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
