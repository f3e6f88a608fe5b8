// Package chromium runs a Chromium of this machine for each login: an own process
// of an unprivileged user, in Chromium's sandbox, driven over a pipe, with a fresh
// profile in memory that is wiped at the end and a proxy as its only way out.
package chromium
