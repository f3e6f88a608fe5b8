package tokenvault

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/ai-token-vault/tokenvault/internal/record"
)

// handOverTTL is how long a code waits for the host's word. Providers end codes
// soon too.
const handOverTTL = time.Minute

// Tags of the record of a return that waits.
const (
	tagReturnPrivate = iota + 1
	tagReturnCode
	tagReturnIss
	tagReturnError
)

// returnForProof takes the return of a visitor, exactly once, and keeps it sealed
// until the host says who brought it. Nothing is exchanged yet.
func (v *Vault) returnForProof(ctx context.Context, actor Actor, ret Return) (Finished, error) {
	stateHash := hashText(ret.State.Reveal())
	attempt, err := v.store.AdvanceAttempt(ctx, stateHash, AttemptBegun, AttemptReturned)
	if errors.Is(err, ErrStateInvalid) {
		return Finished{}, v.refuse(ctx, actor, Attempt{}, "state")
	}
	if err != nil {
		return Finished{}, fmt.Errorf("finish connect: %w", err)
	}
	if _, _, mismatch := v.checkReturn(ctx, actor, attempt, ret); mismatch != "" {
		return Finished{}, v.refuse(ctx, actor, attempt, mismatch)
	}
	req, err := v.pendingOf(ctx, actor, attempt.AuthRequestID)
	if err != nil {
		return Finished{}, err
	}
	if err := v.audit.append(ctx, v.requestEvent(EventConnectReturned, actor, req)); err != nil {
		return Finished{}, err
	}
	handle := random256()
	private, err := v.sealReturn(ctx, attempt, ret)
	if err != nil {
		return Finished{}, err
	}
	err = v.store.HandOver(ctx, AttemptHandOver{StateHash: stateHash, NewHash: hashText(handle), Private: private, TTL: handOverTTL})
	if err != nil {
		return Finished{}, fmt.Errorf("finish connect: %w", err)
	}
	return Finished{Request: req, ReturnURL: attempt.ReturnURL, ProofURL: v.proofURL(req.ID, handle)}, nil
}

func (v *Vault) proofURL(requestID, handle string) string {
	u, err := url.Parse(v.opts.VerifyURL)
	if err != nil {
		return "" // New has parsed it
	}
	q := u.Query()
	q.Set("authRequestId", requestID)
	q.Set("handle", handle)
	u.RawQuery = q.Encode()
	return u.String()
}

// returnPlace is another one than that of the attempt's first private record.
func returnPlace(a Attempt) place {
	return place{table: "attempt", owner: a.Owner, row: a.ID, field: "return", version: 1}
}

func (v *Vault) sealReturn(ctx context.Context, a Attempt, ret Return) (SealedRecord, error) {
	private, err := v.keys.open(ctx, attemptPlace(a), a.Private, nil)
	if err != nil {
		return SealedRecord{}, err
	}
	var w record.Writer
	w.String(tagReturnPrivate, string(private))
	w.String(tagReturnCode, ret.Code.Reveal())
	w.String(tagReturnIss, ret.Iss)
	w.String(tagReturnError, ret.Error)
	return v.keys.seal(ctx, returnPlace(a), w.Bytes())
}

// CompleteConnect ends a connect whose user the host has proven: a back end acts
// for the user in whose browser the handle arrived at [Options.VerifyURL]. The
// code is exchanged only if that is who was asked, or [Actor.OrgAdmin] says that
// the user administers the organization that was; if not, the attempt is over and
// nothing is stored. Errors are those of [Vault.FinishConnect].
func (v *Vault) CompleteConnect(ctx context.Context, actor Actor, authRequestID string, handle Secret) (done Finished, err error) {
	ctx, end := v.watch.begin(ctx, Operation{Kind: OpConnectFinish})
	defer func() { end(OutcomeOf(err)) }()
	if err := v.checkActor(actor); err != nil {
		return Finished{}, err
	}
	if actor.Kind != ActorBackend || actor.Owner.UserID == "" {
		return Finished{}, fmt.Errorf("only a back end completes a connect, for a user: %w", ErrDenied)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout+checkTimeout)
	defer cancel()
	attempt, err := v.store.AdvanceAttempt(ctx, hashText(handle.Reveal()), AttemptReturned, AttemptConsumed)
	if errors.Is(err, ErrStateInvalid) {
		return Finished{}, v.refuse(ctx, actor, Attempt{}, "handle")
	}
	if err != nil {
		return Finished{}, fmt.Errorf("complete connect: %w", err)
	}
	if !speaksFor(actor, attempt.Owner) || attempt.AuthRequestID != authRequestID {
		return Finished{}, v.refuse(ctx, actor, attempt, "user")
	}
	req, err := v.store.GetAuthRequest(ctx, attempt.Owner, attempt.AuthRequestID)
	if err == nil {
		err = pendingNow(req)
	}
	if err != nil {
		return Finished{}, err
	}
	return v.conclude(ctx, actor, req, attempt)
}

// conclude exchanges what waited in a handed-over attempt.
func (v *Vault) conclude(ctx context.Context, actor Actor, req AuthRequest, a Attempt) (Finished, error) {
	plaintext, err := v.keys.open(ctx, returnPlace(a), a.Private, nil)
	if err != nil {
		return Finished{}, err
	}
	var ret Return
	var private Secret
	err = record.Each(plaintext, func(tag byte, value []byte) {
		switch tag {
		case tagReturnPrivate:
			private = NewSecret(string(value))
		case tagReturnCode:
			ret.Code = NewSecret(string(value))
		case tagReturnIss:
			ret.Iss = string(value)
		case tagReturnError:
			ret.Error = string(value)
		}
	})
	if err != nil {
		return Finished{}, fmt.Errorf("attempt record: %w", ErrUnsealable)
	}
	p, err := v.provider(ctx, a.Owner, a.ProviderID)
	if err != nil {
		return Finished{}, err
	}
	app, err := v.store.GetApp(ctx, a.Owner.Tenant, a.AppID)
	if err != nil {
		return Finished{}, fmt.Errorf("complete connect: %w", err)
	}
	return v.takeReturn(ctx, actor, req, takenReturn{Return: ret, attempt: a, provider: p, app: app, private: private})
}
