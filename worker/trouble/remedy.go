package trouble

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	doExpired   = "renew the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, the instance's, task's or pod's role); they have expired"
	doInvalid   = "look at the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, the instance's, task's or pod's role); AWS does not know them"
	doClock     = "clock" // see cause.clock
	doSignature = "the secret key is wrong, or " + doClock
	doForeign   = "something between the worker and AWS answers (a proxy, a firewall, a captive portal): look at HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL"
	doProxy     = "a proxy wants to know who asks: put user and password into HTTPS_PROXY, or go round it (NO_PROXY)"
	doWait      = "nothing here; AWS itself has trouble (https://health.aws.amazon.com), and the worker goes on trying"
	doSingle    = "look at these targets: AWS fails for them alone, and the worker goes on trying them; no other waits for them"
	doThrottled = "nothing here; the worker asks less often. Others may use up the quota: see Service Quotas and RESCIND_QUOTAS"
	doRole      = "let the worker assume this role: its trust policy, and sts:AssumeRole in the worker's own policy"
	doMissing   = "create it again, or mend the setting and restart: "
	// doDeletes is added where deleting fails, for whatever cause.
	doDeletes = "until then ended messages come again, and after maxReceiveCount SQS moves them to the dead-letter queue: do not redrive them"
)

// remedies are what to do about codes, where it does not depend on the peer.
var remedies = map[string]string{
	"ExpiredToken": doExpired, "ExpiredTokenException": doExpired,
	"InvalidClientTokenId": doInvalid, "UnrecognizedClientException": doInvalid, "InvalidAccessKeyId": doInvalid, "MissingAuthenticationToken": doInvalid,
	"RequestExpired": doClock, "RequestTimeTooSkewed": doClock, "RequestInTheFuture": doClock,
	"InvalidSignatureException": doSignature, "SignatureDoesNotMatch": doSignature,
	"InternalError": doWait, "InternalFailure": doWait, "InternalServerError": doWait, "InternalServerException": doWait,
	"ServiceUnavailable": doWait, "ServiceUnavailableException": doWait, "ServerException": doWait, "ServiceException": doWait,
}

// throttles are the codes of requests that are too many.
var throttles = map[string]bool{
	"Throttling": true, "ThrottlingException": true, "Throttled": true, "ThrottledException": true, "TooManyRequestsException": true,
	"RequestThrottled": true, "RequestLimitExceeded": true, "SlowDown": true, "ProvisionedThroughputExceededException": true,
}

// denials are the codes of refusals for want of a permission.
var denials = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "UnauthorizedOperation": true, "NotAuthorized": true,
	"AuthorizationError": true, "AuthorizationErrorException": true, "InvalidSecurity": true,
}

// missing are the settings that name what AWS says is not there.
var missing = map[Kind]string{
	Topic: "RESCIND_RESULTS_TOPIC_ARN", Queue: "RESCIND_QUEUE_URL", DeadLetterQueue: "RESCIND_DLQ_URL", Ledger: "RESCIND_LEDGER",
}

// remedy is what to do, by what failed; "" where that is not known.
func (c *cause) remedy() string {
	do := c.byCode()
	if do == "" {
		do = c.byFault()
	}
	if c.operation == "DeleteMessageBatch" {
		return strings.TrimPrefix(do+"; "+doDeletes, "; ")
	}
	return do
}

// byCode is what to do about what AWS says.
func (c *cause) byCode() string {
	code := c.code[strings.LastIndexByte(c.code, '.')+1:] // of AWS.SimpleQueueService.NonExistentQueue
	switch {
	case c.known != nil || c.see != "" || c.isForeign():
		return ""
	case c.skew != 0 && remedies[code] != doSignature:
		return c.clock()
	case remedies[code] != "":
		return strings.Replace(remedies[code], doClock, c.clock(), 1)
	case strings.HasPrefix(strings.ToUpper(c.code), "KMS"):
		return "let the worker's role use the KMS key (kms:GenerateDataKey and kms:Decrypt in the key's policy), and see that the key is enabled"
	case throttles[code] && c.kind == Ledger:
		return "raise the table's write capacity, or make it on-demand"
	case throttles[code]:
		return doThrottled
	}
	if denials[code] {
		return c.permission()
	}
	switch code {
	case "NonExistentQueue", "QueueDoesNotExist", "NotFound", "NotFoundException", "ResourceNotFoundException", "ResourceNotFound":
		if setting := missing[c.kind]; setting != "" {
			return doMissing + setting
		}
	}
	return ""
}

// byFault is what to do where AWS has said nothing that helps.
func (c *cause) byFault() string {
	switch {
	case c.known != nil:
		return c.known.Do
	case c.see != "":
		return ""
	case c.isForeign() && c.status == http.StatusProxyAuthRequired:
		return doProxy
	case c.isForeign():
		return doForeign
	case c.isOwnSource():
		return c.ownSource()
	case c.dns != nil:
		return "look at AWS_ENDPOINT_URL, AWS_REGION and this machine's DNS"
	case c.tls:
		return "a proxy may break the TLS connection open: let its certificate be trusted (AWS_CA_BUNDLE), or go round it (NO_PROXY)"
	case c.kind == Ledger && c.dial == nil && (c.errno == syscall.ENOSPC || c.errno == syscall.EDQUOT):
		return "free space on the disk of RESCIND_LEDGER, or enlarge it; nothing is lost, and the worker goes on by itself"
	case c.kind == Ledger && c.dial == nil && (c.errno == syscall.EROFS || c.errno == syscall.EIO || c.errno == syscall.EACCES):
		return "look at the disk of RESCIND_LEDGER: it is broken, read-only or not permitted"
	case c.dial != nil || c.timeout:
		service := c.service
		if c.isRole() {
			service = "STS"
		}
		return network(service)
	case c.status >= http.StatusInternalServerError:
		return doWait
	}
	return ""
}

// network is what to do where a service does not answer; "" is any.
func network(service string) string {
	return "look at the network to " + cmp.Or(service, "AWS") + ": VPC endpoint, firewall, routes, HTTPS_PROXY, AWS_ENDPOINT_URL"
}

// ownSource is what to do where the worker's own credentials cannot be had.
func (c *cause) ownSource() string {
	const set = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
	if c.status == 0 && !c.timeout && c.dial == nil && c.host == "" {
		return set + ", or run where a role is given"
	}
	do := "look at what gives credentials to this task, pod or instance (AWS_CONTAINER_CREDENTIALS_FULL_URI, " +
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or instance metadata), and at the role attached to it"
	if c.from == "" { // it has never given any
		do += "; or " + set
	}
	return do
}

// clock is what to do about a clock.
func (c *cause) clock() string {
	off := "by how much they differ is not known"
	switch {
	case c.skew > 0:
		off = "the latter is " + c.skew.Round(time.Second).String() + " ahead"
	case c.skew < 0:
		off = "the latter is " + (-c.skew).Round(time.Second).String() + " behind"
	}
	return fmt.Sprintf("set the clock that is wrong (NTP): this machine's or container's, which said %s at the last attempt, or that of what answers; %s (AWS refuses more than five minutes)",
		c.at.UTC().Format(time.RFC3339), off)
}

// services are the IAM prefixes of services that are not their names.
var services = map[string]string{"emr": "elasticmapreduce", "sfn": "states", "service quotas": "servicequotas"}

// actions are the IAM actions of operations that are not their names.
var actions = map[string]string{
	"sqs:SendMessageBatch": "sqs:SendMessage", "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
	"sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility", "sns:PublishBatch": "sns:Publish",
	"batch:CancelJobs": "batch:CancelJob", "batch:TerminateJobs": "batch:TerminateJob",
	"dynamodb:TransactWriteItems": "dynamodb:PutItem and dynamodb:UpdateItem",
}

// permission is what to do where AWS refuses the caller.
func (c *cause) permission() string {
	switch {
	case c.kind == Credentials && c.isOwnSource():
		return c.ownSource()
	case c.kind == Credentials, c.operation == "AssumeRole":
		return doRole
	case c.operation == "":
		return "allow it to the worker's role"
	}
	return "allow " + c.action() + " to the worker's role, or its role in that account (rescind iam prints all that each needs), and look at the resource's own policy"
}

// action is the IAM action of the operation that failed.
func (c *cause) action() string {
	service := strings.ToLower(c.service)
	service = cmp.Or(services[service], service)
	action := service + ":" + c.operation
	return cmp.Or(actions[action], action)
}

// Denied reports whether AWS refused a call for want of a permission, and which IAM action would allow it, such as
// "sqs:GetQueueAttributes"; "" where that is not known. err is not nil.
func Denied(err error) (action string, denied bool) {
	c := causeOf("", "", err, time.Now(), 0)
	if !denials[c.code[strings.LastIndexByte(c.code, '.')+1:]] || c.isForeign() {
		return "", false
	}
	if c.operation != "" {
		action = c.action()
	}
	return action, true
}
