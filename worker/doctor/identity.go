package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rescindhq/rescind/worker/preflight"
)

func itoa(n int) string { return strconv.Itoa(n) }

const (
	// skewWarned is how far this machine's clock may be from AWS's.
	skewWarned = time.Minute
	// skewRefused is how far AWS lets it be ("Signature Version 4: elements of a request", IAM User Guide).
	skewRefused = 5 * time.Minute
)

// checkIdentity says, in this order, who the credentials are of, for which region they are used, and by how much the clocks
// differ.
func (d *doctor) checkIdentity(ctx context.Context) []Line {
	out, took, err := preflight.Ask(ctx, func(ctx context.Context) (*sts.GetCallerIdentityOutput, error) {
		return sts.NewFromConfig(d.aws).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	now := time.Now()
	var who Line
	var raw any
	if err == nil {
		d.account, d.caller = aws.ToString(out.Account), aws.ToString(out.Arn)
		who = Line{"credentials", d.caller, Good, "of account " + d.account, ""}
		raw = awsmiddleware.GetRawResponse(out.ResultMetadata)
	} else {
		who = unread("credentials", "", "", err, took)
		var answered *smithyhttp.ResponseError
		if errors.As(err, &answered) {
			raw = answered.Response
		}
	}
	return []Line{who, d.region(), clock(raw, now)}
}

func (d *doctor) region() Line {
	says := "commands may name " + strings.Join(d.o.Preflight.Regions, ", ")
	if len(d.o.Preflight.Regions) == 0 {
		says = "commands may name this region"
	}
	if at := sts.NewFromConfig(d.aws).Options().BaseEndpoint; at != nil {
		says += "; asked at " + *at
	}
	return Line{"region", d.aws.Region, Good, says, ""}
}

// clock compares this machine's clock with the Date of an answer, which has whole seconds.
func clock(raw any, now time.Time) Line {
	line := Line{"clock", "", Unknown, "not checked: no answer of AWS has a Date", "look at what else is said here of credentials and network"}
	answer, ok := raw.(*smithyhttp.Response)
	if !ok || answer == nil || answer.Response == nil {
		return line
	}
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return line
	}
	ahead := now.Sub(date).Round(time.Second)
	way := "ahead of"
	if ahead < 0 {
		way = "behind"
	}
	line.Result, line.Says, line.Do = Good, "within a minute of AWS's", ""
	if off := ahead.Abs(); off > skewWarned {
		line.Result, line.Says = Warning, fmt.Sprintf("this machine's is %s %s AWS's, and AWS refuses more than five minutes", off, way)
		line.Do = "set this machine's clock by NTP"
		if off > skewRefused {
			line.Result = Mend
		}
	}
	return line
}
