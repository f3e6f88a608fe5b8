package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

const (
	// lookAgain is how often the caller of an answer that takes its time is proven anew.
	lookAgain   = 15 * time.Second
	lookTimeout = 10 * time.Second
)

// A recheck proves the caller of a request anew, past every limit.
type recheck struct {
	// look returns whom the request comes from, and until when that counts; zero if
	// that is not known.
	look func(r *http.Request) (tokenvault.Actor, time.Time, error)
	// atOnce reports whether look is cheap and knows the end: then it is asked as the
	// answer begins.
	atOnce func(r *http.Request) bool
}

// recheckKey proves the holder of an API key anew.
func recheckKey(v *tokenvault.Vault) recheck {
	return recheck{
		look: func(r *http.Request) (tokenvault.Actor, time.Time, error) {
			key, _ := bearer(r)
			return v.RecheckKey(r.Context(), key)
		},
		atOnce: func(*http.Request) bool { return true },
	}
}

// recheckUser proves a user anew, by what orSession would identify them by.
func recheckUser(v *tokenvault.Vault, auth tokenvault.Authenticator) recheck {
	rechecker, able := auth.(tokenvault.Rechecker)
	session := func(r *http.Request) (tokenvault.Secret, bool) {
		token, ok := bearer(r)
		return token, ok && tokenvault.IsSessionToken(token)
	}
	return recheck{
		look: func(r *http.Request) (tokenvault.Actor, time.Time, error) {
			if token, ok := session(r); ok {
				return v.RecheckSession(r.Context(), token, r.Header.Get("Origin"))
			}
			if able {
				return rechecker.Recheck(r)
			}
			actor, err := auth.Authenticate(r)
			return actor, time.Time{}, err
		},
		atOnce: func(r *http.Request) bool {
			_, ok := session(r)
			return ok || able
		},
	}
}

// A proof holds as long as the caller of a request is who they were when its answer
// began.
type proof struct {
	request *http.Request
	recheck recheck
	caller  tokenvault.Actor // of a back end's request the back end, not the owner it acts for
	until   time.Time        // zero: not known
	next    *time.Timer
}

// prove begins the proof of the actor that called. Whoever gets it stops it.
func (a *api) prove(r *http.Request, actor tokenvault.Actor) (*proof, error) {
	p := &proof{request: r, recheck: a.recheck, caller: actor, next: time.NewTimer(lookAgain)}
	if !p.recheck.atOnce(r) {
		return p, nil
	}
	caller, err := p.look()
	if err == nil && (caller.Kind != actor.Kind || caller.ID != actor.ID) { // a session that changed hands just now
		err = errProofOver()
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	p.caller = caller
	return p, nil
}

// due is sent to when it is time to ask [proof.holds].
func (p *proof) due() <-chan time.Time { return p.next.C }

func (p *proof) stop() { p.next.Stop() }

// holds returns an error if the caller is not proven any more, or cannot be proven
// now. What has come to its end is not asked about again.
func (p *proof) holds() error {
	if p.over() {
		return errProofOver()
	}
	caller, err := p.look()
	if err == nil && caller != p.caller {
		err = errProofOver()
	}
	return err
}

// over reports whether the end that was known has come.
func (p *proof) over() bool { return !p.until.IsZero() && !time.Now().Before(p.until) }

func (p *proof) look() (tokenvault.Actor, error) {
	patience := lookTimeout
	if !p.until.IsZero() {
		patience = min(patience, time.Until(p.until))
	}
	ctx, cancel := context.WithTimeout(p.request.Context(), patience)
	defer cancel()
	caller, until, err := p.recheck.look(p.request.WithContext(ctx))
	if err != nil {
		if ctx.Err() != nil && p.request.Context().Err() == nil {
			err = fmt.Errorf("the caller cannot be proven now: %w", tokenvault.ErrUnavailable)
		}
		return caller, err
	}
	wait := lookAgain
	if !until.IsZero() {
		wait = max(0, min(wait, time.Until(until)))
	}
	p.until = until
	p.next.Reset(wait)
	return caller, nil
}

// during returns what ends first: what is sent to ended, or the proof.
func (p *proof) during(ended <-chan error) error {
	for {
		select {
		case err := <-ended:
			return err
		case <-p.due():
			if err := p.holds(); err != nil {
				return err
			}
		}
	}
}

func errProofOver() error {
	return fmt.Errorf("the caller is not proven any more: %w", tokenvault.ErrUnauthenticated)
}
