package stepfunctions

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/rescindhq/rescind/handlers"
)

// codeNotFound refuses a call for an execution that Step Functions does not know.
const codeNotFound = "ExecutionDoesNotExist"

// codes are those of both calls that mean something of their own. The others that are
// documented say no more than those that are not.
var codes = handlers.Codes{
	codeNotFound:               handlers.NoSuchTarget,
	"KmsThrottlingException":   handlers.Throttled,
	"KmsAccessDeniedException": handlers.NotAuthorized,
}

func (h *handler) stop(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Answer {
	t := targets[0]
	r, _ := t.Params.(record)
	out, err := h.clients(at).StopExecution(ctx, &sdk.StopExecutionInput{ExecutionArn: &t.ID, Error: sent(r.code), Cause: sent(r.cause)})
	if err != nil {
		e, id := handlers.Classify(err, codes)
		if e.Class == handlers.Final {
			// By what an execution is refused that has ended is not documented, nor by what
			// one of an EXPRESS state machine: a key in a bad state, an ARN or a request that
			// is not valid, do not say that it runs. Its state does, where it can be read.
			e.Class = handlers.Unsettled
		}
		return []handlers.Answer{handlers.Refusal(e, id)}
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.StopDate == nil {
		return []handlers.Answer{{Err: handlers.NoAnswer("Step Functions' answer has no stopDate"), RequestID: id}}
	}
	// No more than that: whether an execution that had ended before is answered like this is
	// not documented.
	return []handlers.Answer{{Status: handlers.Accepted, RequestID: id}}
}

// sent is a text as it is sent: nil where there is nothing to say.
func sent(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
