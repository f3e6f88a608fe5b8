package cdpsession

import (
	"testing"
	"time"
)

// The service is asked less and less often while nothing happens, and soon when
// something did.
func TestTheServiceIsNotAskedAllTheTime(t *testing.T) {
	now := time.Now()
	var p probing
	asked := 0
	for second := range 30 * 60 {
		at := now.Add(time.Duration(second) * time.Second)
		if p.due(at, 1) {
			p = p.next(at, 1, false)
			asked++
		}
	}
	if asked > 130 {
		t.Errorf("asked %d times in half an hour in which nothing happened", asked)
	}
	at := p.at.Add(probeFirst)
	if p.due(at, 1) || !p.due(at, 2) {
		t.Error("what happened makes no difference")
	}
	if p = p.next(at, 2, false); p.wait != probeFirst || p.due(at.Add(time.Second), 3) {
		t.Errorf("asked again after %v", p.wait)
	}
}
