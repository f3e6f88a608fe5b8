package chaos

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/client"
	"github.com/ai-token-vault/tokenvault/internal/testop"
)

// Agents wait at one replica while their users connect at another; and agents wait
// through the proxy, and users connect there, while all replicas are replaced. Every
// agent wakes and gets a credential.
func TestWaitersWakeWhereverTheirUsersConnect(t *testing.T) {
	w := newReplicas(t, testop.Options{})
	up := w.upReplicas(t, 3)
	var n tally
	for round := range roundsOr(1) {
		waiting := w.wait(t, w.agent(t, up[0]), fmt.Sprintf("apart-%d", round))
		w.front.remove(up[0]) // browsers come to the others only
		w.connectAll(t, waiting)
		w.awake(t, &n, waiting)
		w.front.add(up[0])

		through, err := client.New(w.front.URL, w.key, nil)
		if err != nil {
			t.Fatal(err)
		}
		waiting = w.wait(t, through, fmt.Sprintf("rolling-%d", round))
		for i := range up {
			joining := w.replica(t)
			w.front.add(joining)
			w.leave(t, up[i])
			up[i] = joining
			n.faults++
			w.connectAll(t, waiting[i*waitersEach:(i+1)*waitersEach])
		}
		w.awake(t, &n, waiting)
	}
	w.verified(t, &n)
	n.report(t, "pg-waiters")
}

const (
	waiters     = 9
	waitersEach = 3 // connect after each restart
)

// A waiter is an agent whose user has to connect.
type waiter struct {
	user  string
	asked tokenvault.AuthRequest
	woken chan answer
}

// wait starts agents, and returns when each has told its user where to connect.
func (w *world) wait(t *testing.T, agent *client.Client, prefix string) (all []*waiter) {
	t.Helper()
	told := make(chan struct{})
	for i := range waiters {
		it := &waiter{user: fmt.Sprintf("%s-%d", prefix, i), woken: make(chan answer, 1)}
		all = append(all, it)
		go func() {
			token, err := agent.ResolveWait(t.Context(), request(it.user, it.user), func(req tokenvault.AuthRequest) {
				it.asked = req
				told <- struct{}{}
			})
			it.woken <- answer{it.user, it.user, token, err}
		}()
	}
	for range all {
		<-told
	}
	return all
}

func (w *world) awake(t *testing.T, n *tally, waiting []*waiter) {
	t.Helper()
	for _, it := range waiting {
		if a := <-it.woken; a.err != nil || !w.accepted(t, a.user, a.token.AccessToken) {
			n.unexplained++
			t.Errorf("%s: %v", a.user, a.err)
		}
	}
}

// connectAll has the users of waiters connect, each in a browser of their own.
func (w *world) connectAll(t *testing.T, waiting []*waiter) {
	t.Helper()
	for _, it := range waiting {
		w.browse(t, it)
	}
}

var leavePattern = regexp.MustCompile(`class="primary" href="([^"]+)"`)

// browse confirms a request, signs in at the provider, comes back, and has the host
// say who that was: all of it through the proxy.
func (w *world) browse(t *testing.T, it *waiter) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.cfg.VerifyURL) {
			return http.ErrUseLastResponse // nobody listens at the host's page
		}
		return nil
	}}
	open := func(method, target string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, target, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", w.front.URL)
		res, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(text)
	}
	open(http.MethodGet, it.asked.ConnectURL)
	_, page := open(http.MethodPost, it.asked.ConnectURL+"/confirm")
	link := leavePattern.FindStringSubmatch(page)
	if link == nil {
		t.Fatalf("%s: the page leads nowhere: %s", it.user, page)
	}
	back := testop.NewPerson(t, it.user).Authorize(t, html.UnescapeString(link[1]))
	res, page := open(http.MethodGet, back.String())
	host, err := res.Location()
	if err != nil {
		t.Fatalf("%s: the callback answers %d: %s", it.user, res.StatusCode, page)
	}
	w.complete(t, it, host)
}

// complete says for the host who came to its page.
func (w *world) complete(t *testing.T, it *waiter, page *url.URL) {
	t.Helper()
	host, err := client.New(w.front.URL, w.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	handle := tokenvault.NewSecret(page.Query().Get("handle"))
	_, err = host.Complete(t.Context(), client.Owner{UserID: it.user}, it.asked.ID, handle)
	if refused, ok := errors.AsType[*client.Error](err); ok {
		t.Errorf("%s: %d %v", it.user, refused.Status, err)
	} else if err != nil {
		t.Error(err)
	}
}
