-- What active subscriptions and the fees of this month bring, by currency.
with monthly as (
    select s.currency, p.amount / case p.interval when 'yearly' then 12 else 1 end as amount
    from subscriptions as s
    join plans as p on p.id = s.plan_id
    where s.organization_id = $1::bigint and s.status = 'active'
    union all
    select s.currency, f.amount
    from fees as f
    join subscriptions as s on s.id = f.subscription_id
    where s.organization_id = $1::bigint and f.charged_on >= date_trunc('month', now())
)
select json_build_object('mrr', coalesce(json_object_agg(currency, amount order by currency), '{}'))
from (select currency, round(sum(amount), 2) as amount from monthly group by currency) as by_currency
