package tokenvault

import (
	"maps"
	"slices"
)

// A chainCheck recomputes the chains of a tenant. It is told the entries in the
// order they were written, each head after its entry, and then the end.
type chainCheck struct {
	// genuine reports whether the signatures of a head are right. nil: they are not
	// looked at.
	genuine func(AuditHead) (bool, error)

	report AuditReport
	chains map[string]*chainEnd
	tenant string
	lost   string // the hash that should have been before the first altered entry
}

// A chainEnd is how far a chain was followed.
type chainEnd struct {
	eventID  string
	position int64
	hash     string
	unsigned int64
	pruned   int64
	beyond   *AuditHead // the first head whose entry has not come
}

func newChainCheck(genuine func(AuditHead) (bool, error)) *chainCheck {
	return &chainCheck{genuine: genuine, report: AuditReport{Keyed: genuine != nil}, chains: make(map[string]*chainEnd)}
}

func (c *chainCheck) chain(writer string) *chainEnd {
	end, ok := c.chains[writer]
	if !ok {
		end = &chainEnd{}
		c.chains[writer] = end
	}
	return end
}

// foreign reports whether something is of another tenant than what came before.
func (c *chainCheck) foreign(tenant string) bool {
	if c.tenant == "" {
		c.tenant = tenant
	}
	return tenant != c.tenant
}

func (c *chainCheck) entry(e Event) {
	if c.report.Broken != nil {
		c.explain(e)
		return
	}
	foreign := c.foreign(e.Tenant)
	if e.Position == 0 && len(c.chains) == 0 && !foreign {
		c.report.Unchained++
		return
	}
	end := c.chain(e.Writer)
	next := end.position + 1
	switch {
	case foreign || e.Position < next:
		c.broken(AuditInserted, e.Writer, e.Position, e.ID)
	case end.beyond != nil || e.Position > next:
		c.broken(AuditMissing, e.Writer, next, e.ID)
	case e.Hash != e.ChainHash(end.hash):
		c.lost = end.hash
		c.broken(AuditAltered, e.Writer, e.Position, e.ID)
	default:
		c.report.Entries++
		end.eventID, end.position, end.hash = e.ID, e.Position, e.Hash
		end.unsigned++
	}
}

func (c *chainCheck) broken(problem AuditProblem, writer string, position int64, eventID string) {
	c.report.Broken = &AuditBreak{Problem: problem, Writer: writer, Position: position, EventID: eventID}
}

// explain looks, behind the break, for the entry whose place it is.
func (c *chainCheck) explain(e Event) {
	b := c.report.Broken
	if e.Writer != b.Writer || e.Position != b.Position {
		return
	}
	switch {
	case b.Problem == AuditMissing:
		b.Problem = AuditReordered
	case b.Problem == AuditAltered && e.Hash == e.ChainHash(c.lost):
		b.Problem = AuditInserted
	}
}

func (c *chainCheck) head(h AuditHead) error {
	if c.report.Broken != nil {
		return nil
	}
	ok := !c.foreign(h.Tenant)
	if ok && c.genuine != nil {
		var err error
		if ok, err = c.genuine(h); err != nil {
			return err
		}
	}
	if !ok {
		c.broken(AuditHeadForged, h.Writer, h.Position, h.EventID)
		return nil
	}
	c.report.Heads++
	end := c.chain(h.Writer)
	switch {
	case h.Position == end.position && h.Hash == end.hash && h.EventID == end.eventID:
		end.unsigned = 0
	case len(h.Cut) > 0 && h.Position > end.position:
		*end = chainEnd{eventID: h.EventID, position: h.Position, hash: h.Hash, pruned: h.Position}
	case h.Position <= end.position || h.EventID == end.eventID:
		c.broken(AuditRewritten, h.Writer, h.Position, h.EventID)
	case end.beyond == nil:
		end.beyond = &h
	}
	return nil
}

// end returns the report. What is missing at the end of a chain shows here.
func (c *chainCheck) end() AuditReport {
	for _, writer := range slices.Sorted(maps.Keys(c.chains)) {
		end := c.chains[writer]
		c.report.Unsigned += end.unsigned
		c.report.Pruned += end.pruned
		if end.beyond != nil && c.report.Broken == nil {
			c.broken(AuditTruncated, writer, end.position+1, end.beyond.EventID)
		}
	}
	return c.report
}
