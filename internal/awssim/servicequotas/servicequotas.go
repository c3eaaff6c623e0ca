// Package servicequotas simulates what a worker reads of AWS Service Quotas: ListServiceQuotas, after the Service
// Quotas API Reference. It knows the quotas that it is given, and no others: a real account has thousands. Its values
// do not change what the simulator throttles.
package servicequotas

import (
	"context"
	"strconv"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Quota is the value of one quota, in every account.
type Quota struct {
	Region  string
	Service string // Service Quotas' own code of the service: "elasticmapreduce"
	Code    string // "L-A90C264E"
	Value   float64
	Minute  bool // the value is for a minute; otherwise its period is a second
}

// ServiceQuotas has quotas.
type ServiceQuotas struct{ quotas []Quota }

// New returns Service Quotas with these quotas.
func New(quotas []Quota) *ServiceQuotas { return &ServiceQuotas{quotas} }

// Service says how it is called.
func (s *ServiceQuotas) Service() *service.Service {
	return &service.Service{
		Name: "servicequotas", Protocol: service.JSON11, Target: "ServiceQuotasV20190624", Shapes: "com.amazonaws.servicequotas",
		Throttled: service.Refuse("TooManyRequestsException", "Rate exceeded"),
		Denied:    service.Refuse("AccessDeniedException", "The caller is not authorized to perform this action."),
		Operations: map[string]service.Operation{
			"ListServiceQuotas": service.JSON(func(in *listInput) []string { return []string{in.ServiceCode} }, s.list),
		},
	}
}

type (
	listInput struct {
		ServiceCode, NextToken string
		MaxResults             int
	}
	listOutput struct {
		NextToken string  `json:"NextToken,omitempty"`
		Quotas    []quota `json:"Quotas"`
	}
	quota struct {
		ServiceCode, QuotaCode, Unit string
		Value                        float64
		Period                       period
	}
	period struct {
		PeriodUnit  string
		PeriodValue int
	}
)

func (s *ServiceQuotas) list(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	most := in.MaxResults
	if most == 0 {
		most = 100
	}
	if in.ServiceCode == "" || most < 1 || most > 100 {
		return nil, service.Refuse("IllegalArgumentException", "ServiceCode is required, and MaxResults is from 1 to 100")
	}
	from := 0
	if in.NextToken != "" {
		n, err := strconv.Atoi(in.NextToken)
		if err != nil || n < 0 {
			return nil, service.Refuse("InvalidPaginationTokenException", "Invalid token was used.")
		}
		from = n
	}
	out := &listOutput{Quotas: []quota{}}
	n := 0
	for _, q := range s.quotas {
		if q.Service != in.ServiceCode || q.Region != c.Region {
			continue
		}
		if n++; n <= from {
			continue
		}
		if len(out.Quotas) == most {
			out.NextToken = strconv.Itoa(from + most)
			break
		}
		unit := "SECOND"
		if q.Minute {
			unit = "MINUTE"
		}
		out.Quotas = append(out.Quotas, quota{q.Service, q.Code, "None", q.Value, period{unit, 1}})
	}
	return out, nil
}
