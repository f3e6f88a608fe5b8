package sqlite

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every query finds its rows by an index, however many there are.
func TestQueriesUseAnIndex(t *testing.T) {
	s := openNew(t, nil)
	for name, query := range map[string]string{
		"FindUsable": sqlFindUsable, "FindUsable of an own one": sqlFindOwn, "GetAPIKey": sqlGetAPIKey,
		"GetConnection": sqlGetConnection, "FindAccount": sqlFindAccount, "ListConnections": sqlListConnections,
		"Revoke": sqlRevoke, "insert connection": sqlInsertConnection, "renew connection": sqlRenewConnection,
		"BeginRefresh": sqlBeginRefresh, "turn": sqlGetTurn, "CommitRefresh": sqlCommitRefresh, "FailRefresh": sqlFailRefresh,
		"expire by key": sqlExpireByKey, "pending by key": sqlPendingByKey, "GetAuthRequest": sqlGetAuthRequest,
		"Settle": sqlSettle, "ExpireAuthRequests": sqlExpireAuthRequests, "PruneAuthRequests": sqlPruneAuthRequests,
		"AdvanceAttempt": sqlAdvanceAttempt, "expire attempts": sqlExpireAttempts,
		"GetAttempt": sqlGetAttempt, "LatestAttempt": sqlLatestAttempt,
		"ListPermissions": sqlListPermissions, "WithdrawPermission": sqlWithdrawPermission, "get permission": sqlGetPermission,
		"widen permission": sqlWidenPermission, "own connection": sqlOwnConnection, "Transfer": sqlTransfer,
		"delete revoked": sqlDeleteRevoked, "delete unseen": sqlDeleteUnseen, "delete permissions": sqlDeletePermissions,
		"replace app": sqlReplaceApp, "GetApp": sqlGetApp, "FindApp": sqlFindApp, "ListApps": sqlListApps, "DeleteApp": sqlDeleteApp,
		"provider in the other scope": sqlOtherScope, "provider used": sqlProviderUsed, "replace provider": sqlReplaceProvider,
		"FindProvider": sqlFindProvider, "ListProviders": sqlListProviders, "DeleteProvider": sqlDeleteProvider,
		"GetDataKey": sqlGetDataKey, "ListDataKeys": sqlListDataKeys, "RewrapDataKey": sqlRewrapDataKey, "DeleteDataKey": sqlDeleteDataKey,
		"newer data key": sqlNewerDataKey, "has data key": sqlHasDataKey,
		"ListAPIKeys": sqlListAPIKeys, "find api key": sqlFindAPIKey, "end api key": sqlEndAPIKey, "touch api key": sqlTouchAPIKey,
		"ListAudit": sqlListAudit, "ListAudit newest": sqlListAuditNewest, "audit end": sqlAuditEnd,
		"UnsignedAudit": sqlUnsignedAudit, "SignAudit": sqlSignAudit, "get head": sqlGetHead, "ListAuditHeads": sqlListAuditHeads,
		"PrunableAudit": sqlPrunableAudit, "cut audit": sqlCutAudit, "PruneAudit": sqlPruneAudit, "prune unchained": sqlPruneUnchained,
		"ClaimJobs": sqlClaimJobs, "job done": sqlJobDone, "job dead": sqlJobDead, "job retry": sqlJobRetry,
		"ListJobs": sqlListJobs, "job again": sqlJobAgain, "job state": sqlJobState,
		"ClaimConnections": sqlClaimConnections, "put off connection": sqlPutOffConnection, "touch connection": sqlTouchConnection,
		"replace webhook": sqlReplaceWebhook, "GetWebhook": sqlGetWebhook, "ListWebhooks": sqlListWebhooks,
		"delete webhook's jobs": sqlDeleteWebhookJobs, "DeleteWebhook": sqlDeleteWebhook,
		"ListDeliveries": sqlListDeliveries, "all deliveries": sqlAllDeliveries, "GetDelivery": sqlGetDelivery,
		"tell": sqlTell, "SendWebhook": sqlSend, "note attempt": sqlNoteAttempt, "disable webhook": sqlDisableWebhook,
		"PruneDeliveries": sqlPruneDeliveries, "prune job": sqlPruneJob,
	} {
		for _, step := range plan(t, s, query) {
			scans := strings.HasPrefix(step, "SCAN") && step != "SCAN CONSTANT ROW" && step != "SCAN clock" && !strings.HasPrefix(step, "SCAN wanted") // a webhook's types
			if scans && !strings.Contains(step, "USING INDEX") {
				t.Errorf("%s: %s", name, step)
			}
			if strings.Contains(step, "TEMP B-TREE") && name != "ListApps" && name != "ListProviders" && name != "LatestAttempt" {
				t.Errorf("%s sorts: %s", name, step)
			}
		}
	}
}

func TestFindUsableNeverScans(t *testing.T) {
	for _, query := range []string{sqlFindUsable, sqlFindOwn} {
		var searches int
		for _, step := range plan(t, openNew(t, nil), query) {
			if strings.HasPrefix(step, "SEARCH ") {
				searches++
			}
		}
		if searches != 3 {
			t.Errorf("%d index searches, want one for each of the three tables: %s", searches, query)
		}
	}
}

// plan returns the steps of the query plan. The planner does not look at
// arguments, which are bound as NULL.
func plan(t *testing.T, s *Store, query string) []string {
	t.Helper()
	stmt, err := s.writer.Prepare("EXPLAIN QUERY PLAN " + query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = stmt.Close() }()
	numbers := regexp.MustCompile(`\?(\d*)`).FindAllStringSubmatch(query, -1)
	count := len(numbers)
	if count > 0 && numbers[0][1] != "" {
		count = 0
		for _, n := range numbers {
			number, _ := strconv.Atoi(n[1])
			count = max(count, number)
		}
	}
	rows, err := stmt.Query(make([]any, count)...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
