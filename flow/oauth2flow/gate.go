package oauth2flow

import (
	"context"
	"time"
)

// opExchange is the operation of a code's exchange.
const opExchange = "exchange"

const (
	patience         = 5 * time.Second
	exchangePatience = 15 * time.Second
)

// enter waits until a call may be sent to the host. A refresh that is not let
// through leaves its token unspent and comes again. An exchange does not: its code
// dies soon and somebody waits for it, so it waits longer and heeds no pause.
func (f *Flow) enter(ctx context.Context, call tokenCall, host string) (leave func(), err error) {
	if call.op == opExchange {
		return f.gate.Enter(ctx, host, exchangePatience)
	}
	if err := f.gate.Rest(ctx, call.client.ID+" at "+host, patience); err != nil {
		return nil, err
	}
	return f.gate.Enter(ctx, host, patience)
}
