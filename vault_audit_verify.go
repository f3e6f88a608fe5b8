package tokenvault

import (
	"context"
	"fmt"
)

// VerifyAudit recomputes the tenant's audit log from the first entry that is
// kept, compares it with its signed heads, and checks their signatures. That the
// log is broken is no error: the report says so. Only an administrator may.
//
// It finds every change to what is before a signed head, unless the heads behind
// it are gone too: somebody who can take the whole database back to an earlier
// state can do so here. Keep exports elsewhere. Changes to the last minute, which
// is not signed yet, are found if they do not fit together.
func (v *Vault) VerifyAudit(ctx context.Context, actor Actor) (AuditReport, error) {
	if err := v.checkAuditor(actor); err != nil {
		return AuditReport{}, err
	}
	report, err := v.verifyAudit(ctx)
	if err == nil && report.Broken != nil {
		// What is pruned between two pages looks like a break: look again.
		report, err = v.verifyAudit(ctx)
	}
	if err != nil {
		return AuditReport{}, fmt.Errorf("verify the audit log: %w", err)
	}
	return report, nil
}

func (v *Vault) verifyAudit(ctx context.Context) (AuditReport, error) {
	check := newChainCheck(func(h AuditHead) (bool, error) { return v.genuine(ctx, h) })
	err := v.walkAudit(ctx, func(e Event) error { check.entry(e); return nil }, check.head)
	return check.end(), err
}

// walkAudit visits every entry of the tenant in the order they were written, and
// each head after its entry. A head that is signed meanwhile, for an entry that
// was visited, is left out.
func (v *Vault) walkAudit(ctx context.Context, entry func(Event) error, head func(AuditHead) error) error {
	heads := headPages{list: func(after string) ([]AuditHead, error) {
		return v.store.ListAuditHeads(ctx, v.opts.Tenant, Page{After: after, Limit: maxPage})
	}, visit: head}
	page := EventQuery{Page: Page{Limit: maxPage}}
	for {
		// Heads before entries: of a head that is read, the entry can be read too.
		if err := heads.fill(page.After); err != nil {
			return err
		}
		events, err := v.store.ListAudit(ctx, v.opts.Tenant, page)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return heads.rest()
		}
		for _, e := range events {
			if err := heads.before(e.ID); err != nil {
				return err
			}
			if err := entry(e); err != nil {
				return err
			}
			if err := heads.through(e.ID); err != nil {
				return err
			}
			page.After = e.ID
		}
	}
}

// headPages reads heads in pages and visits each once, in the order of their
// entries.
type headPages struct {
	list  func(after string) ([]AuditHead, error)
	visit func(AuditHead) error
	page  []AuditHead
	last  string // the last id that was read
	more  bool   // there may be more behind the page
}

// fill reads a page if none is left. Heads up to the entry after are skipped.
func (p *headPages) fill(after string) error {
	if len(p.page) > 0 {
		return nil
	}
	page, err := p.list(max(p.last, after))
	if err != nil {
		return err
	}
	p.page, p.more = page, len(page) == maxPage
	if len(page) > 0 {
		p.last = page[len(page)-1].EventID
	}
	return nil
}

func (p *headPages) before(id string) error {
	return p.visitWhile(func(h AuditHead) bool { return h.EventID < id })
}

func (p *headPages) through(id string) error {
	return p.visitWhile(func(h AuditHead) bool { return h.EventID <= id })
}

// rest visits all that is left.
func (p *headPages) rest() error {
	return p.visitWhile(func(AuditHead) bool { return true })
}

func (p *headPages) visitWhile(wanted func(AuditHead) bool) error {
	for len(p.page) > 0 && wanted(p.page[0]) {
		head := p.page[0]
		p.page = p.page[1:]
		if err := p.visit(head); err != nil {
			return err
		}
		if len(p.page) == 0 && p.more {
			if err := p.fill(""); err != nil {
				return err
			}
		}
	}
	return nil
}
