package tokenvault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// An AuditLine is one line of an export: an entry, or a head of a chain.
type AuditLine struct {
	Entry *Event
	Head  *AuditHead
}

// The types of lines.
const (
	entryLine = "entry"
	headLine  = "head"
)

// lineJSON is a line in JSON. Its fields are those of both types.
type lineJSON struct {
	Type string `json:"type"`
	Event
	OwnerTenant    string `json:"ownerTenant,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
	UserID         string `json:"userId,omitempty"`
}

type headJSON struct {
	Type string `json:"type"`
	AuditHead
}

// MarshalJSON writes the line as an object with a type, "entry" or "head". All
// that a hash or a signature is over is in it.
func (l AuditLine) MarshalJSON() ([]byte, error) {
	if l.Head != nil {
		return json.Marshal(headJSON{headLine, *l.Head})
	}
	if l.Entry == nil {
		return nil, errors.New("an audit line holds an entry or a head")
	}
	o := l.Entry.Owner
	return json.Marshal(lineJSON{entryLine, *l.Entry, o.Tenant, o.OrganizationID, o.UserID})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (l *AuditLine) UnmarshalJSON(text []byte) error {
	var line struct{ Type string }
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	switch line.Type {
	case entryLine:
		var entry lineJSON
		if err := json.Unmarshal(text, &entry); err != nil {
			return err
		}
		entry.Owner = Owner{Tenant: entry.OwnerTenant, OrganizationID: entry.OrganizationID, UserID: entry.UserID}
		*l = AuditLine{Entry: &entry.Event}
	case headLine:
		var head headJSON
		if err := json.Unmarshal(text, &head); err != nil {
			return err
		}
		*l = AuditLine{Head: &head.AuditHead}
	default:
		return errors.New("an audit line is of type entry or head")
	}
	return nil
}

// ExportAudit calls write for every entry of the tenant's audit log in the order
// they were written, and for each signed head after its entry. Written as JSON
// lines this is what [VerifyExport] reads. Only an administrator may. A pruning
// that runs meanwhile may leave a gap.
func (v *Vault) ExportAudit(ctx context.Context, actor Actor, write func(AuditLine) error) error {
	if err := v.checkAuditor(actor); err != nil {
		return err
	}
	return v.walkAudit(ctx,
		func(e Event) error { return write(AuditLine{Entry: &e}) },
		func(h AuditHead) error { return write(AuditLine{Head: &h}) })
}

// VerifyExport recomputes the chains of an export, which r returns as JSON lines,
// and compares them with the heads in it. Without the vault's key it cannot tell a
// head's signature from a forged one: [Vault.VerifyExport] can. It fails with a
// [FieldError] if r does not return an export.
func VerifyExport(r io.Reader) (AuditReport, error) { return verifyExport(r, nil) }

// VerifyExport is the function of this name that checks the signatures too. Only
// an administrator may.
func (v *Vault) VerifyExport(ctx context.Context, actor Actor, r io.Reader) (AuditReport, error) {
	if err := v.checkAuditor(actor); err != nil {
		return AuditReport{}, err
	}
	return verifyExport(r, func(h AuditHead) (bool, error) { return v.genuine(ctx, h) })
}

func verifyExport(r io.Reader, genuine func(AuditHead) (bool, error)) (AuditReport, error) {
	check := newChainCheck(genuine)
	dec := json.NewDecoder(r)
	for n := 1; ; n++ {
		var line AuditLine
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return check.end(), nil
		case err != nil:
			return AuditReport{}, invalid("file", fmt.Sprintf("must be an export of the audit log: line %d is not", n))
		case line.Head != nil:
			if err := check.head(*line.Head); err != nil {
				return AuditReport{}, fmt.Errorf("verify the export: %w", err)
			}
		case line.Entry != nil:
			check.entry(*line.Entry)
		}
	}
}
