package tokenvault_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/store/memory"
)

// tamper lets a test change what the store hands out, as somebody with write
// access to the database could.
type tamper struct {
	tokenvault.Store
	candidates  func([]tokenvault.Candidate)
	auditFails  atomic.Bool
	auditBlocks atomic.Pointer[chan struct{}]
	appends     atomic.Int32
}

func (s *tamper) FindUsable(ctx context.Context, q tokenvault.FindQuery) (tokenvault.Found, error) {
	found, err := s.Store.FindUsable(ctx, q)
	if s.candidates != nil {
		s.candidates(found.Candidates)
	}
	return found, err
}

func (s *tamper) AppendAudit(ctx context.Context, events []tokenvault.Event) error {
	if s.auditFails.Load() {
		s.appends.Add(1)
		if wait := s.auditBlocks.Load(); wait != nil {
			<-*wait
		}
		return tokenvault.ErrUnavailable
	}
	return s.Store.AppendAudit(ctx, events)
}

func tamperedRig(t testing.TB, change ...func(*tokenvault.Options)) (*rig, *tamper) {
	t.Helper()
	r := &rig{store: memory.New(nil), key: rootKey(t), flow: &scriptedFlow{}}
	r.flow.completed = tokenvault.Completed{Credential: credential("at-0", "rt-0"), Account: tokenvault.Account{ID: "acc-1"}}
	s := &tamper{Store: r.store}
	r.Vault = newVault(t, s, r.key, r.flow, change...)
	if _, err := r.SetApp(t.Context(), admin, tokenvault.AppInput{ProviderID: "mail", ClientID: "client"}); err != nil {
		t.Fatal(err)
	}
	r.connect(t, "read")
	return r, s
}

func TestK1ASealedCredentialStaysInItsPlace(t *testing.T) {
	for name, change := range map[string]func(*tokenvault.Candidate){
		"other row":           func(c *tokenvault.Candidate) { c.ID = "cn_other" },
		"rolled back version": func(c *tokenvault.Candidate) { c.Version++ },
		"other key version":   func(c *tokenvault.Candidate) { c.Record.KeyVersion, c.WrappedKey = 2, nil },
		"other key space":     func(c *tokenvault.Candidate) { c.Record.KeySpace = "org:x" },
		"altered":             func(c *tokenvault.Candidate) { c.Record.Blob[len(c.Record.Blob)-1] ^= 1 },
		"empty":               func(c *tokenvault.Candidate) { c.Record.Blob = nil },
	} {
		t.Run(name, func(t *testing.T) {
			r, s := tamperedRig(t)
			s.candidates = func(list []tokenvault.Candidate) { change(&list[0]) }
			access, err := r.resolve(t, "read")
			if access != nil || !errors.Is(err, tokenvault.ErrUnsealable) {
				t.Errorf("Resolve = %v, %v; want ErrUnsealable", access, err)
			}
		})
	}
}

// K2: a sealed record with any bit flipped, cut short anywhere, empty, longer, or of
// another format is an error and nothing else.
func TestK2ADamagedRecordIsAnErrorOnly(t *testing.T) {
	r, s := tamperedRig(t)
	whole := s.blob(t, r)
	damaged := [][]byte{nil, {}, append(bytes.Clone(whole), 0), append([]byte{0}, whole...)}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		damaged = append(damaged, whole[:i], flipped)
	}
	for format := range 256 {
		if other := bytes.Clone(whole); byte(format) != whole[0] {
			other[0] = byte(format)
			damaged = append(damaged, other)
		}
	}
	for _, blob := range damaged {
		s.wantUnsealable(t, r, blob)
	}
}

func FuzzK2ADamagedRecordIsAnErrorOnly(f *testing.F) {
	for _, blob := range []string{"", "\x01", "\x01\x00\x00\x00\x01", strings.Repeat("\x01", 64)} {
		f.Add([]byte(blob), uint8(0), 0)
	}
	r, s := tamperedRig(f)
	whole := s.blob(f, r)
	f.Fuzz(func(t *testing.T, blob []byte, flip uint8, at int) {
		s.wantUnsealable(t, r, blob)
		if altered := bytes.Clone(whole); flip != 0 { // and what is nearly right
			altered[uint(at)%uint(len(altered))] ^= flip
			s.wantUnsealable(t, r, altered)
		}
	})
}

// blob returns the sealed credential of the rig's connection.
func (s *tamper) blob(t testing.TB, r *rig) (whole []byte) {
	t.Helper()
	s.candidates = func(list []tokenvault.Candidate) { whole = bytes.Clone(list[0].Record.Blob) }
	r.token(t, "read")
	return whole
}

func (s *tamper) wantUnsealable(t testing.TB, r *rig, blob []byte) {
	t.Helper()
	s.candidates = func(list []tokenvault.Candidate) { list[0].Record.Blob = blob }
	if access, err := r.resolve(t, "read"); access != nil || !errors.Is(err, tokenvault.ErrUnsealable) {
		t.Errorf("%x: Resolve = %v, %v; want ErrUnsealable", blob, access, err)
	}
}

func TestK3AnotherRootKeyIsRefused(t *testing.T) {
	r, _ := tamperedRig(t)
	_, err := tokenvault.New(r.store, rootKey(t), r.Catalog(), nil)
	if !errors.Is(err, tokenvault.ErrUnsealable) {
		t.Errorf("New with another root key: %v, want ErrUnsealable", err)
	}
}

func TestK8AFailingAuditLogReleasesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := tamperedRig(t)
		s.auditFails.Store(true)
		for range 2 {
			if access, err := r.resolve(t, "read"); access != nil || !errors.Is(err, tokenvault.ErrUnavailable) {
				t.Errorf("Resolve = %v, %v; want ErrUnavailable", access, err)
			}
			if err := r.Ping(t.Context()); !errors.Is(err, tokenvault.ErrUnavailable) {
				t.Errorf("Ping = %v, want ErrUnavailable", err)
			}
			<-time.After(time.Hour)
		}
		s.auditFails.Store(false)
		<-time.After(2 * time.Second) // without a call of anybody
		if err := r.Ping(t.Context()); err != nil {
			t.Errorf("Ping = %v after the log recovered", err)
		}
		if _, err := r.resolve(t, "read"); err != nil {
			t.Errorf("after the log recovered: %v", err)
		}
		if released, resumed := r.events(t, tokenvault.EventReleased), r.events(t, tokenvault.EventAuditResumed); len(released) != 1 || len(resumed) != 1 {
			t.Errorf("%d releases and %d resumptions are recorded, want 1 and 1", len(released), len(resumed))
		}
	})
}

// K8: who waits in the queue of a log that fails is refused with those in front.
func TestK8NobodyWaitsForAFailingLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := tamperedRig(t)
		blocked := make(chan struct{})
		s.auditBlocks.Store(&blocked)
		s.auditFails.Store(true)
		const callers = 600 // more than one batch
		errs := make(chan error)
		for range callers {
			go func() { _, err := r.resolve(t, "read"); errs <- err }()
		}
		synctest.Wait()
		close(blocked)
		for range callers {
			if err := <-errs; !errors.Is(err, tokenvault.ErrUnavailable) {
				t.Errorf("err = %v, want ErrUnavailable", err)
			}
		}
		if n := s.appends.Load(); n != 1 {
			t.Errorf("the log was tried %d times before all were refused, want once", n)
		}
		s.auditFails.Store(false)
	})
}

// K8: releases that did not wait for their entry are recorded once the log can be
// written again, and no more are made until then.
func TestK8AsyncReleasesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := tamperedRig(t, func(o *tokenvault.Options) { o.Audit = tokenvault.AuditAsync })
		s.auditFails.Store(true)
		for range 3 {
			if _, err := r.resolve(t, "read"); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Minute)
		if _, err := r.resolve(t, "read"); !errors.Is(err, tokenvault.ErrUnavailable) {
			t.Errorf("while the log fails: %v, want ErrUnavailable", err)
		}
		s.auditFails.Store(false)
		<-time.After(2 * time.Second)
		if n := len(r.events(t, tokenvault.EventReleased)); n != 3 {
			t.Errorf("%d releases are recorded, want 3", n)
		}
	})
}
