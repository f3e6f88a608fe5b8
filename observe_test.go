package tokenvault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ai-token-vault/tokenvault"
)

// recorder writes down what it observes, each operation below what it is nested in.
type recorder struct {
	mu      sync.Mutex
	log     []string
	unwraps int // how many there are depends on what is cached
}

type recorderKey struct{}

func (r *recorder) Begin(ctx context.Context, op tokenvault.Operation) (context.Context, func(tokenvault.Outcome)) {
	path, _ := ctx.Value(recorderKey{}).(string)
	path += "/" + string(op.Kind)
	return context.WithValue(ctx, recorderKey{}, path), func(outcome tokenvault.Outcome) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if op.Kind == tokenvault.OpKeyUnwrap {
			r.unwraps++
			return
		}
		r.log = append(r.log, strings.TrimSpace(fmt.Sprintf("%s %s %s", strings.TrimPrefix(path, "/"), outcome, op.ProviderID)))
	}
}

// take returns what was observed since the last time, sorted.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.log
	r.log = nil
	slices.Sort(taken)
	return taken
}

func TestObserver(t *testing.T) {
	seen := &recorder{}
	r := newRig(t, func(o *tokenvault.Options) { o.Observer = seen })
	seen.take()
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"missing", func() { r.mustAsk(t, "read") }, []string{"resolve auth_required mail"}},
		{"connect", func() { r.connect(t, "read") }, []string{
			"audit.commit ok", "connect.finish ok", "connect.finish/audit.wait ok", "connect.finish/provider.exchange ok mail",
			"connect.start ok", "connect.start/provider.begin ok mail", "resolve auth_required mail",
		}},
		{"warm", func() { r.token(t, "read") }, []string{"audit.commit ok", "resolve ok mail", "resolve/audit.wait ok"}},
		{"expired", func() { r.clock.advance(2 * time.Hour); r.token(t, "read") }, []string{
			"audit.commit ok", "resolve ok mail", "resolve/audit.wait ok", "resolve/refresh ok mail", "resolve/refresh/provider.refresh ok mail",
		}},
		{"dead", func() {
			r.flow.outcome = func(int, tokenvault.RefreshInput) tokenvault.RefreshOutcome {
				return tokenvault.Rejected{Err: &tokenvault.ProviderError{ProviderID: "mail", Op: "refresh", Code: "invalid_grant"}}
			}
			r.clock.advance(2 * time.Hour)
			r.mustAsk(t, "read")
		}, []string{"resolve auth_required mail", "resolve/refresh needs_reauth mail", "resolve/refresh/provider.refresh rejected mail"}},
		{"unknown provider", func() {
			_, err := r.Resolve(t.Context(), aliceAgent, tokenvault.ResolveRequest{ProviderID: "alice@mail.example"})
			if !errors.Is(err, tokenvault.ErrNotFound) {
				t.Error(err)
			}
		}, []string{"resolve not_found"}},
		{"somebody else's", func() {
			if err := r.Revoke(t.Context(), bobUser, r.connections(t)[0].ID); !errors.Is(err, tokenvault.ErrNotFound) {
				t.Error(err)
			}
		}, []string{"revoke not_found"}},
	} {
		step.do()
		if diff := cmp.Diff(step.want, seen.take()); diff != "" {
			t.Errorf("%s is observed as (-want +got):\n%s", step.name, diff)
		}
	}
	if seen.unwraps == 0 {
		t.Error("no key was unwrapped")
	}
}

func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want tokenvault.Outcome
	}{
		{nil, tokenvault.OutcomeOK},
		{&tokenvault.AuthRequiredError{}, tokenvault.OutcomeAuthRequired},
		{fmt.Errorf("refresh: %w", &tokenvault.ProviderError{}), tokenvault.OutcomeProviderError},
		{&tokenvault.ProviderError{Err: tokenvault.ErrProviderUnavailable}, "provider_unavailable"},
		{&tokenvault.FieldError{}, "invalid"},
		{fmt.Errorf("audit log: %w", tokenvault.ErrUnavailable), "unavailable"},
		{context.DeadlineExceeded, tokenvault.OutcomeCanceled},
		{errors.New("alice@mail.example"), tokenvault.OutcomeInternal},
	} {
		if got := tokenvault.OutcomeOf(tc.err); got != tc.want {
			t.Errorf("%v is %q, not %q", tc.err, got, tc.want)
		}
	}
}

// A sentinel that has no outcome would be counted as internal, which is alarming.
func TestEverySentinelHasAnOutcome(t *testing.T) {
	declared, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	named, err := os.ReadFile("observe.go")
	if err != nil {
		t.Fatal(err)
	}
	sentinels := regexp.MustCompile(`(?m)^\t(Err\w+)\s+= errors\.New`).FindAllSubmatch(declared, -1)
	if len(sentinels) < 10 {
		t.Fatalf("errors.go declares %d sentinels", len(sentinels))
	}
	for _, s := range sentinels {
		if !bytes.Contains(named, append([]byte("{"), append(s[1], ',')...)) {
			t.Errorf("%s has no outcome: add it to OutcomeOf", s[1])
		}
	}
}
