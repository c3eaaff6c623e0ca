package quotas

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas/types"

	"github.com/rescindhq/rescind/handlers"
)

// code names the quotas of one operation in Service Quotas.
type code struct {
	service     string // Service Quotas' code of the service
	name        string // ours
	rate, burst string // quota codes; burst "": none is published, and it is the rate
}

// codes are the quotas that Service Quotas has for what is called. Sources: facts/aws.json
// (core.emr and core.iot, quotas_per_account_region); of EMR's two others (the burst of ListSteps, "The maximum number
// of ListSteps API requests that you can make per second.", and of all operations, "The maximum number of API
// requests that you can make per second.") two dumps of ListAWSDefaultServiceQuotas in public
// repositories, one of them gruntwork-io/terraform-aws-utilities; of IoT's DescribeJob ("DescribeJob
// throttle limit") one. None is known for Step Functions and SWF, and none is there for FSx and Batch's calls
// that cancel. A code that an account does not have is not found, and the built-in quota remains.
var codes = []code{
	{"elasticmapreduce", "emr:CancelSteps", "L-A90C264E", "L-815103CB"},
	{"elasticmapreduce", "emr:ListSteps", "L-8AF88BF0", "L-7D1BF903"},
	{"elasticmapreduce", "emr:*", "L-432FAB44", "L-283CCA2A"},
	{"iot", "iot:CancelJobExecution", "L-5D01DB62", ""},
	{"iot", "iot:CancelJob", "L-DEC656C5", ""},
	{"iot", "iot:DescribeJobExecution", "L-B731A266", ""},
	{"iot", "iot:DescribeJob", "L-609D00CE", ""},
}

// accountBound is how long reading may take in all: the worker starts without.
const accountBound = 3 * time.Second

// pageMost is the most quotas of one answer ("ListServiceQuotas", Service Quotas API Reference).
const pageMost = 100

// OfAccount reads the account's own quotas in each region, for 3 seconds at most. Beside an error, which says
// what was not read, are those that were.
func OfAccount(ctx context.Context, cfg aws.Config, regions []string) (map[string]Set, error) {
	ctx, cancel := context.WithTimeout(ctx, accountBound)
	defer cancel()
	services := make(map[string][]code)
	for _, c := range codes {
		services[c.service] = append(services[c.service], c)
	}
	var mu sync.Mutex
	var failed error // one is enough: they have one cause
	found := make(map[string]Set)
	var reading sync.WaitGroup
	for _, region := range regions {
		found[region] = make(Set)
		api := servicequotas.NewFromConfig(cfg, func(o *servicequotas.Options) { o.Region = region })
		for service, wanted := range services {
			reading.Go(func() {
				values, err := list(ctx, api, service)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = err
				}
				for _, c := range wanted {
					if q, ok := c.quota(values); ok {
						found[region][c.name] = q
					}
				}
			})
		}
	}
	reading.Wait()
	return found, failed
}

// list reads the values of a service's quotas by their codes.
func list(ctx context.Context, api *servicequotas.Client, service string) (map[string]float64, error) {
	values := make(map[string]float64)
	pages := servicequotas.NewListServiceQuotasPaginator(api, &servicequotas.ListServiceQuotasInput{
		ServiceCode: &service, MaxResults: aws.Int32(pageMost),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the quotas of %s: %w", service, err)
		}
		for _, q := range page.Quotas {
			if q.Value != nil && perSecond(q.Period) {
				values[aws.ToString(q.QuotaCode)] = *q.Value
			}
		}
	}
	return values, nil
}

// perSecond reports whether a quota counts by the second, or does not say by what.
func perSecond(p *types.QuotaPeriod) bool {
	return p == nil || p.PeriodUnit == types.PeriodUnitSecond && aws.ToInt32(p.PeriodValue) == 1
}

// quota is what the values say, where they say all of it and it is a quota that can be obeyed.
func (c code) quota(values map[string]float64) (handlers.Quota, bool) {
	q := handlers.Quota{Rate: values[c.rate], Burst: values[c.rate]}
	if c.burst != "" {
		q.Burst = values[c.burst]
	}
	keepable := func(n float64) bool { return n > 0 && n <= maxQuota }
	return q, keepable(q.Rate) && keepable(q.Burst)
}
