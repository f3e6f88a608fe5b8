// Package cdpsession is one browser session over the Chrome DevTools Protocol: its
// tabs, what is seen of it, what a person does in it, the signs of a login, and its
// state. The adapters that start or reach a browser share it.
//
// A session is made before its browser: it waits in a queue ([Session.Queued]),
// starts, is opened with a connection ([Session.Open]) and ends once, for whatever
// reason comes first. All of that can be viewed.
//
//	queued ──► starting ──► open ──► ended
//	   └──────────┴───────────────────┘
//
// What a browser tells is handled on the connection's reader, under the session's
// lock, and never waits for an answer; what has to be done in order, awaiting the
// answers, is done by goroutines of the session's own:
//
//   - one for each new target, which prepares it and lets it run;
//   - one that draws: it has the tab on top, and no other, send pictures, while
//     somebody looks.
package cdpsession
