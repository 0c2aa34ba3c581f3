/* Every field of what a provider says, in its place: the whole of each event is compared, so that none can be taken
 * from another field, lost, or made up. */
#include "channel/channel_support.h"

/* Quotes are single ones here. */
struct fields {
    const char *name, *kind, *body, *event;
};

static const struct fields payments[] = {
    { "square: a payment that failed", "square",
      "{'merchant_id':'M1','type':'payment.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'payment':{"
      "'id':'sqp','status':'FAILED','amount_money':{'amount':1800,'currency':'USD'},'total_money':{"
      "'amount':1999,'currency':'USD'},'order_id':'sqo','customer_id':'sqc','reference_id':'telegram:42',"
      "'receipt_url':'https://r','note':'Blue','source_type':'CARD','buyer_email_address':'Ada@B.C',"
      "'buyer_phone_number':'+15550100','card_details':{'status':'FAILED','card':{'card_brand':'VISA',"
      "'last_4':'1111'},'errors':[{'category':'PAYMENT_METHOD_ERROR','code':'CVV_FAILURE',"
      "'detail':'Wrong code'},{'code':'SECOND'}]}}}}}",
      "{'type':'payment.failed','occurred_at':'2026-11-20T10:00:00.123Z','contact':{"
      "'identities':['square:sqc','telegram:42','email:ada@b.c','phone:15550100']},'payment':{'id':'sqp',"
      "'amount':1999,'currency':'usd','reason':'cvv_failure','message':'Wrong code','url':'https://r',"
      "'order':'sqo','customer':'sqc','status':'failed','method':'card','card_brand':'visa',"
      "'card_last4':'1111','description':'Blue','attempt':1,'invoice':'sqo','reference':'sqo'}}" },
    { "square: a payment without a total, an order or details", "square",
      "{'merchant_id':'M1','type':'payment.created','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'payment':{"
      "'id':9223372036854775807,'status':'COMPLETED','amount_money':{'amount':'1800','currency':'usd'},"
      "'order_id':null,'customer_id':null,'card_details':{'errors':[]}}}}}",
      "{'type':'payment.succeeded','occurred_at':'2026-11-20T10:00:00.123Z','payment':{"
      "'id':'9223372036854775807','amount':1800,'currency':'usd','status':'completed',"
      "'reference':'9223372036854775807'}}" },
    { "square: an invoice that could not be charged", "square",
      "{'merchant_id':'M1','type':'invoice.scheduled_charge_failed','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'invoice':{"
      "'id':'inv:0-1','version':2,'status':'UNPAID','title':'Rent','invoice_number':'0007',"
      "'public_url':'https://i','order_id':'sqo','subscription_id':'sqs','primary_recipient':{"
      "'customer_id':'sqc','given_name':'Ada','family_name':'L','email_address':'a@b.c',"
      "'phone_number':'+15550100'},'payment_requests':[{'uid':'u','computed_amount_money':{'amount':1999,"
      "'currency':'JPY'}},{'computed_amount_money':{'amount':1,'currency':'EUR'}}],"
      "'next_payment_amount_money':{'amount':7,'currency':'EUR'}}}}}",
      "{'type':'payment.failed','occurred_at':'2026-11-20T10:00:00.123Z','contact':{"
      "'identities':['square:sqc','email:a@b.c','phone:15550100'],'name':'Ada L'},'payment':{"
      "'id':'inv:0-1','amount':1999,'currency':'jpy','url':'https://i','invoice':'inv:0-1','order':'sqo',"
      "'number':'0007','customer':'sqc','subscription':'sqs','status':'unpaid','description':'Rent',"
      "'attempt':1,'reference':'sqo'}}" },
    { "square: an invoice without an order or requests", "square",
      "{'merchant_id':'M1','type':'invoice.payment_made','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'invoice':{"
      "'id':'inv:0-1','version':2,'status':'UNPAID','title':'Rent','invoice_number':'0007',"
      "'public_url':'https://i','primary_recipient':{'customer_id':'sqc','given_name':'Ada',"
      "'family_name':'L','email_address':'a@b.c','phone_number':'+15550100'},'next_payment_amount_money':{"
      "'amount':7,'currency':'EUR'}}}}}",
      "{'type':'payment.succeeded','occurred_at':'2026-11-20T10:00:00.123Z','contact':{"
      "'identities':['square:sqc','email:a@b.c','phone:15550100'],'name':'Ada L'},'payment':{"
      "'id':'inv:0-1','amount':7,'currency':'eur','url':'https://i','invoice':'inv:0-1','number':'0007',"
      "'customer':'sqc','status':'unpaid','description':'Rent','reference':'inv:0-1','secondary':true}}" },
    { "square: a refund of an invoice", "square",
      "{'merchant_id':'M1','type':'invoice.refunded','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'invoice':{"
      "'id':'inv:0-1','version':2,'status':'UNPAID','title':'Rent','invoice_number':'0007',"
      "'public_url':'https://i','order_id':'sqo','subscription_id':'sqs','payment_requests':[{'uid':'u',"
      "'computed_amount_money':{'amount':1999,'currency':'JPY'}},{'computed_amount_money':{'amount':1,"
      "'currency':'EUR'}}],'next_payment_amount_money':{'amount':7,'currency':'EUR'}}}}}",
      "{'type':'payment.refunded','occurred_at':'2026-11-20T10:00:00.123Z','payment':{'id':'inv:0-1',"
      "'amount':1999,'currency':'jpy','url':'https://i','invoice':'inv:0-1','order':'sqo','number':'0007',"
      "'subscription':'sqs','status':'unpaid','description':'Rent','reference':'sqo','secondary':true}}" },
    { "square: a refund", "square",
      "{'merchant_id':'M1','type':'refund.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'refund':{"
      "'id':'sqr','status':'COMPLETED','payment_id':'sqp','order_id':'sqo','amount_money':{'amount':500,"
      "'currency':'KWD'},'reason':'Late'}}}}",
      "{'type':'payment.refunded','occurred_at':'2026-11-20T10:00:00.123Z','payment':{'id':'sqp',"
      "'refund':'sqr','order':'sqo','amount':500,'currency':'kwd','reason':'Late','status':'completed',"
      "'invoice':'sqo','reference':'sqo'}}" },
    { "square: a refund of no order", "square",
      "{'merchant_id':'M1','type':'refund.created','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'refund':{"
      "'id':'sqr','status':'COMPLETED','payment_id':'sqp','amount_money':{'amount':500,'currency':'KWD'},"
      "'reason':'Late'}}}}",
      "{'type':'payment.refunded','occurred_at':'2026-11-20T10:00:00.123Z','payment':{'id':'sqp',"
      "'refund':'sqr','amount':500,'currency':'kwd','reason':'Late','status':'completed',"
      "'reference':'sqp'}}" },
    { "square: a refund that names its customer", "square",
      "{'merchant_id':'M1','type':'refund.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'refund':{"
      "'id':'sqr','status':'COMPLETED','payment_id':'sqp','customer_id':'sqc'}}}}",
      "{'type':'payment.refunded','occurred_at':'2026-11-20T10:00:00.123Z','contact':{"
      "'identities':['square:sqc']},'payment':{'id':'sqp','refund':'sqr','status':'completed',"
      "'reference':'sqp'}}" },
    { "square: a refund under way", "square",
      "{'merchant_id':'M1','type':'refund.created','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'refund':{"
      "'id':'sqr','status':'PENDING'}}}}",
      "{'type':'webhook.square','occurred_at':'2026-11-20T10:00:00.123Z'}" },
    { "square: a dispute", "square",
      "{'merchant_id':'M1','type':'dispute.created','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'dispute':{"
      "'id':'sqd','amount_money':{'amount':1000,'currency':'USD'},'reason':'NOT_AS_DESCRIBED',"
      "'state':'EVIDENCE_REQUIRED','due_at':'2026-12-01T12:00:00.000Z','disputed_payment':{"
      "'payment_id':'sqp'}}}}}",
      "{'type':'payment.disputed','occurred_at':'2026-11-20T10:00:00.123Z','payment':{'id':'sqp',"
      "'dispute':'sqd','amount':1000,'currency':'usd','reason':'not_as_described',"
      "'status':'evidence_required','due_at':'2026-12-01T12:00:00.000Z','reference':'sqp'}}" },
    { "square: a dispute with its newer name", "square",
      "{'merchant_id':'M1','type':'dispute.created','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'dispute':{"
      "'amount_money':{'amount':1000,'currency':'USD'},'reason':'NOT_AS_DESCRIBED',"
      "'state':'EVIDENCE_REQUIRED','due_at':'2026-12-01T12:00:00.000Z','disputed_payment':{"
      "'payment_id':'sqp'},'id':null,'dispute_id':'sqd2'}}}}",
      "{'type':'payment.disputed','occurred_at':'2026-11-20T10:00:00.123Z','payment':{'id':'sqp',"
      "'dispute':'sqd2','amount':1000,'currency':'usd','reason':'not_as_described',"
      "'status':'evidence_required','due_at':'2026-12-01T12:00:00.000Z','reference':'sqp'}}" },
    { "square: an order", "square",
      "{'merchant_id':'M1','type':'order.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'order_updated':{"
      "'order_id':'sqo','state':'COMPLETED'}}}}",
      "{'type':'order.completed','occurred_at':'2026-11-20T10:00:00.123Z','order':{'id':'sqo',"
      "'status':'completed'}}" },
    { "square: an order in full", "square",
      "{'merchant_id':'M1','type':'order.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'order':{"
      "'id':'sqo','state':'COMPLETED','customer_id':'sqc','reference_id':'R-1','total_money':{'amount':5,"
      "'currency':'USD'},'metadata':{'telegram':'42'}}}}}",
      "{'type':'order.completed','occurred_at':'2026-11-20T10:00:00.123Z','contact':{"
      "'identities':['square:sqc','telegram:42']},'order':{'id':'sqo','amount':5,'currency':'usd','customer':'sqc',"
      "'reference':'R-1','status':'completed'}}" },
    { "square: an open order", "square",
      "{'merchant_id':'M1','type':'order.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'order_updated':{"
      "'order_id':'sqo','state':'OPEN'}}}}",
      "{'type':'webhook.square','occurred_at':'2026-11-20T10:00:00.123Z'}" },
    { "square: a subscription that ended on a day", "square",
      "{'merchant_id':'M1','type':'subscription.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'subscription':{"
      "'id':'sqs','status':'CANCELED','customer_id':'sqc','plan_variation_id':'sqv',"
      "'start_date':'2026-01-31','canceled_date':'2026-11-30','charged_through_date':'2026-12-31'}}}}",
      "{'type':'subscription.canceled','occurred_at':'2026-11-20T10:00:00.123Z','contact':{"
      "'identities':['square:sqc']},'subscription':{'id':'sqs','status':'canceled','customer':'sqc',"
      "'plan':'sqv','canceled_at':'2026-11-30T00:00:00.000Z',"
      "'current_period_end':'2026-12-31T00:00:00.000Z'}}" },
    { "square: a subscription that was switched off", "square",
      "{'merchant_id':'M1','type':'subscription.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'subscription':{"
      "'id':'sqs','status':'DEACTIVATED'}}}}",
      "{'type':'subscription.canceled','occurred_at':'2026-11-20T10:00:00.123Z','subscription':{'id':'sqs',"
      "'status':'deactivated'}}" },
    { "square: a subscription in use", "square",
      "{'merchant_id':'M1','type':'subscription.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'subscription':{"
      "'id':'sqs','status':'ACTIVE'}}}}",
      "{'type':'subscription.updated','occurred_at':'2026-11-20T10:00:00.123Z','subscription':{'id':'sqs',"
      "'status':'active'}}" },
    { "square: a subscription that begins", "square",
      "{'merchant_id':'M1','type':'subscription.created','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'subscription':{"
      "'id':'sqs','status':'PENDING','charged_through_date':null}}}}",
      "{'type':'subscription.created','occurred_at':'2026-11-20T10:00:00.123Z','subscription':{'id':'sqs',"
      "'status':'pending'}}" },
    { "square: a customer", "square",
      "{'merchant_id':'M1','type':'customer.updated','event_id':'sq-e1',"
      "'created_at':'2026-11-20T10:00:00.123456Z','data':{'type':'x','id':'y','object':{'customer':{"
      "'id':'sqc','given_name':'Ada','reference_id':'telegram:42','email_address':'a@b.c'}}}}",
      "{'type':'webhook.square','occurred_at':'2026-11-20T10:00:00.123Z','contact':{"
      "'identities':['square:sqc','telegram:42','email:a@b.c'],'name':'Ada'}}" },
    { "razorpay: a payment that failed", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'payment.failed','payload':{'payment':{'entity':{"
      "'id':'pay_1','amount':10050,'currency':'INR','status':'failed','order_id':'order_1',"
      "'invoice_id':'inv_1','method':'card','description':'Blue','customer_id':'cust_1','email':'Ada@B.C',"
      "'contact':'+919876543210','notes':{'telegram':'42','sku':'S-1'},'error_code':'BAD_REQUEST_ERROR',"
      "'error_description':'Declined','error_source':'bank','error_step':'payment_authorization',"
      "'error_reason':'insufficient_funds'}}},'created_at':1763881200}",
      "{'type':'payment.failed','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_1','telegram:42','email:ada@b.c','phone:919876543210']},'payment':{"
      "'id':'pay_1','amount':10050,'currency':'inr','reason':'insufficient_funds',"
      "'code':'BAD_REQUEST_ERROR','message':'Declined','invoice':'inv_1','order':'order_1',"
      "'customer':'cust_1','status':'failed','method':'card','description':'Blue','metadata':{"
      "'telegram':'42','sku':'S-1'},'attempt':1,'reference':'inv_1'}}" },
    { "razorpay: a failure without a reason, an order or an invoice", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'payment.failed','payload':{'payment':{'entity':{"
      "'id':'pay_1','amount':'10050','currency':'INR','status':'failed','order_id':null,'invoice_id':null,"
      "'method':'card','description':'Blue','customer_id':'cust_1','email':null,'contact':'9876543210',"
      "'notes':[],'error_code':'BAD_REQUEST_ERROR','error_description':'Declined','error_source':'bank',"
      "'error_step':'payment_authorization','error_reason':null}}},'created_at':1763881200}",
      "{'type':'payment.failed','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_1']},'payment':{'id':'pay_1','amount':10050,'currency':'inr',"
      "'reason':'BAD_REQUEST_ERROR','code':'BAD_REQUEST_ERROR','message':'Declined','customer':'cust_1',"
      "'status':'failed','method':'card','description':'Blue','attempt':1,'reference':'pay_1'}}" },
    { "razorpay: a payment", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'payment.captured','payload':{'payment':{'entity':{"
      "'id':'pay_1','amount':10050,'currency':'INR','status':'captured','order_id':'order_1',"
      "'invoice_id':'inv_1','method':'card','description':'Blue','customer_id':'cust_1','email':'Ada@B.C',"
      "'contact':'+919876543210','notes':{'telegram':'42','sku':'S-1'},'error_code':'BAD_REQUEST_ERROR',"
      "'error_description':'Declined','error_source':'bank','error_step':'payment_authorization',"
      "'error_reason':'insufficient_funds'}}},'created_at':1763881200}",
      "{'type':'payment.succeeded','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_1','telegram:42','email:ada@b.c','phone:919876543210']},'payment':{"
      "'id':'pay_1','amount':10050,'currency':'inr','invoice':'inv_1','order':'order_1',"
      "'customer':'cust_1','status':'captured','method':'card','description':'Blue','metadata':{"
      "'telegram':'42','sku':'S-1'},'reference':'inv_1'}}" },
    { "razorpay: a charge of a subscription", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'subscription.charged','payload':{'subscription':{"
      "'entity':{'id':'sub_1','plan_id':'plan_1','customer_id':'cust_2','status':'halted',"
      "'current_end':1766473200,'ended_at':1766476800,'short_url':'https://s','notes':{'email':'s@b.c'}}},"
      "'payment':{'entity':{'id':'pay_1','amount':10050,'currency':'INR','status':'captured',"
      "'order_id':'order_1','method':'card','description':'Blue','email':'Ada@B.C',"
      "'contact':'+919876543210','notes':{'telegram':'42','sku':'S-1'},'error_code':'BAD_REQUEST_ERROR',"
      "'error_description':'Declined','error_source':'bank','error_step':'payment_authorization',"
      "'error_reason':null}}},'created_at':1763881200}",
      "{'type':'payment.succeeded','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_2','telegram:42','email:s@b.c','email:ada@b.c','phone:919876543210']},"
      "'payment':{'id':'pay_1','amount':10050,'currency':'inr','order':'order_1','customer':'cust_2',"
      "'subscription':'sub_1','status':'captured','method':'card','description':'Blue','metadata':{"
      "'telegram':'42','sku':'S-1'},'invoice':'order_1','reference':'order_1','secondary':true}}" },
    { "razorpay: an invoice", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'invoice.paid','payload':{'invoice':{'entity':{"
      "'id':'inv_2','amount':70,'currency':'INR','status':'paid','customer_id':'cust_3',"
      "'short_url':'https://i','customer_details':{'name':'Ada L','email':'i@b.c',"
      "'contact':'+919876543211'},'notes':[]}}},'created_at':1763881200}",
      "{'type':'payment.succeeded','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_3','email:i@b.c','phone:919876543211'],'name':'Ada L'},'payment':{"
      "'id':'inv_2','amount':70,'currency':'inr','url':'https://i','invoice':'inv_2','customer':'cust_3',"
      "'reference':'inv_2','secondary':true}}" },
    { "razorpay: an invoice with its payment", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'invoice.paid','payload':{'payment':{'entity':{"
      "'id':'pay_1','amount':10050,'currency':'INR','status':'failed','order_id':'order_1',"
      "'invoice_id':'inv_1','method':'card','description':'Blue','customer_id':'cust_1','email':'Ada@B.C',"
      "'contact':'+919876543210','error_code':'BAD_REQUEST_ERROR','error_description':'Declined',"
      "'error_source':'bank','error_step':'payment_authorization','error_reason':'insufficient_funds'}},"
      "'invoice':{'entity':{'id':'inv_2','amount':70,'currency':'INR','status':'paid',"
      "'customer_id':'cust_3','short_url':'https://i','customer_details':{'name':'Ada L','email':'i@b.c',"
      "'contact':'+919876543211'},'notes':[]}}},'created_at':1763881200}",
      "{'type':'payment.succeeded','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_1','razorpay:cust_3','email:ada@b.c','phone:919876543210',"
      "'email:i@b.c','phone:919876543211'],'name':'Ada L'},'payment':{'id':'pay_1','amount':10050,"
      "'currency':'inr','url':'https://i','invoice':'inv_2','order':'order_1','customer':'cust_1',"
      "'status':'failed','method':'card','description':'Blue','reference':'inv_2','secondary':true}}" },
    { "razorpay: a link", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'payment_link.paid','payload':{'payment_link':{"
      "'entity':{'id':'plink_1','customer':{'name':'Ada','email':'l@b.c','contact':'+919876543212'},"
      "'notes':null}},'payment':{'entity':{'id':'pay_1','amount':5,'currency':'KWD',"
      "'order_id':'order_1'}}},'created_at':1763881200}",
      "{'type':'payment.succeeded','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['email:l@b.c','phone:919876543212'],'name':'Ada'},'payment':{'id':'pay_1','amount':5,"
      "'currency':'kwd','order':'order_1','invoice':'order_1','reference':'order_1','secondary':true}}" },
    { "razorpay: a refund", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'refund.processed','payload':{'refund':{'entity':{"
      "'id':'rfnd_1','amount':50,'currency':'INR','payment_id':'pay_0','status':'processed','notes':{"
      "'a':'b'}}},'payment':{'entity':{'id':'pay_1','amount':10050,'currency':'INR','status':'failed',"
      "'order_id':'order_1','invoice_id':'inv_1','method':'card','description':'Blue',"
      "'customer_id':'cust_1','email':'Ada@B.C','contact':'+919876543210','notes':{'telegram':'42',"
      "'sku':'S-1'},'error_code':'BAD_REQUEST_ERROR','error_description':'Declined','error_source':'bank',"
      "'error_step':'payment_authorization','error_reason':'insufficient_funds'}}},'created_at':1763881200}",
      "{'type':'payment.refunded','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_1','telegram:42','email:ada@b.c','phone:919876543210']},'payment':{"
      "'id':'pay_1','refund':'rfnd_1','amount':50,'currency':'inr','invoice':'inv_1','order':'order_1',"
      "'status':'processed','metadata':{'a':'b'},'reference':'inv_1'}}" },
    { "razorpay: a refund alone", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'refund.processed','payload':{'refund':{'entity':{"
      "'id':'rfnd_1','amount':50,'currency':'INR','payment_id':'pay_0','status':'processed','notes':[]}}},"
      "'created_at':1763881200}",
      "{'type':'payment.refunded','occurred_at':'2025-11-23T07:00:00.000Z','payment':{'id':'pay_0',"
      "'refund':'rfnd_1','amount':50,'currency':'inr','status':'processed','reference':'pay_0'}}" },
    { "razorpay: a dispute", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'payment.dispute.created','payload':{'dispute':{"
      "'entity':{'id':'disp_1','payment_id':'pay_1','amount':99,'currency':'INR',"
      "'reason_code':'chargeback','respond_by':1766473200,'status':'open'}},'payment':{'entity':{"
      "'id':'pay_1','amount':10050,'currency':'INR','status':'failed','order_id':'order_1',"
      "'invoice_id':'inv_1','method':'card','description':'Blue','customer_id':'cust_1','email':'Ada@B.C',"
      "'contact':'+919876543210','notes':{'telegram':'42','sku':'S-1'},'error_code':'BAD_REQUEST_ERROR',"
      "'error_description':'Declined','error_source':'bank','error_step':'payment_authorization',"
      "'error_reason':'insufficient_funds'}}},'created_at':1763881200}",
      "{'type':'payment.disputed','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_1','telegram:42','email:ada@b.c','phone:919876543210']},'payment':{"
      "'id':'pay_1','dispute':'disp_1','amount':99,'currency':'inr','reason':'chargeback','status':'open',"
      "'due_at':'2025-12-23T07:00:00.000Z','invoice':'inv_1','order':'order_1','reference':'inv_1'}}" },
    { "razorpay: an order", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'order.paid','payload':{'order':{'entity':{"
      "'id':'order_1','amount':10050,'currency':'INR','receipt':'R-1','status':'paid','notes':{'a':'b'}}},"
      "'payment':{'entity':{'id':'pay_1','amount':10050,'currency':'INR','status':'failed',"
      "'order_id':'order_1','invoice_id':'inv_1','method':'card','description':'Blue',"
      "'customer_id':'cust_1','email':'Ada@B.C','contact':'+919876543210','notes':{'telegram':'42',"
      "'sku':'S-1'},'error_code':'BAD_REQUEST_ERROR','error_description':'Declined','error_source':'bank',"
      "'error_step':'payment_authorization','error_reason':'insufficient_funds'}}},'created_at':1763881200}",
      "{'type':'order.completed','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_1','telegram:42','email:ada@b.c','phone:919876543210']},'order':{"
      "'id':'order_1','amount':10050,'currency':'inr','reference':'R-1','payment_status':'paid',"
      "'payment':'pay_1','customer':'cust_1','metadata':{'a':'b'}}}" },
    { "razorpay: an order whose notes name who pays", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'order.paid','payload':{'order':{'entity':{"
      "'id':'order_1','amount':5,'currency':'INR','notes':{'telegram':'42'}}},'customer':{'entity':{"
      "'email':'Ada@B.C','contact':'+919876543210'}}},'created_at':1763881200}",
      "{'type':'order.completed','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['telegram:42','email:ada@b.c','phone:919876543210']},'order':{'id':'order_1',"
      "'amount':5,'currency':'inr','metadata':{'telegram':'42'}}}" },
    { "razorpay: a subscription", "razorpay",
      "{'entity':'event','account_id':'acc_1','event':'subscription.halted','payload':{'subscription':{"
      "'entity':{'id':'sub_1','plan_id':'plan_1','customer_id':'cust_2','status':'halted',"
      "'current_end':1766473200,'ended_at':1766476800,'short_url':'https://s','notes':{'email':'s@b.c'}}}},"
      "'created_at':1763881200}",
      "{'type':'subscription.updated','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['razorpay:cust_2','email:s@b.c']},'subscription':{'id':'sub_1','status':'halted',"
      "'plan':'plan_1','customer':'cust_2','url':'https://s',"
      "'current_period_end':'2025-12-23T07:00:00.000Z','ended_at':'2025-12-23T08:00:00.000Z','metadata':{"
      "'email':'s@b.c'}}}" },
    { "gocardless: a payment that failed", "gocardless",
      "{'events':[{'id':'EV1','created_at':'2026-11-20T10:00:00.000Z','resource_type':'payments',"
      "'action':'failed','links':{'payment':'PM1','mandate':'MD1','customer':'CU1','subscription':'SB1',"
      "'organisation':'OR1'},'details':{'origin':'bank','cause':'insufficient_funds',"
      "'description':'No money','scheme':'bacs','reason_code':'ARUDD-0','will_attempt_retry':false},"
      "'metadata':{'by':'us'},'resource_metadata':{'telegram':'42'}}],'meta':{'webhook_id':'WB1'}}",
      "{'type':'payment.failed','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['gocardless:CU1','gocardless:MD1','telegram:42']},'payment':{'id':'PM1',"
      "'customer':'CU1','mandate':'MD1','subscription':'SB1','reason':'insufficient_funds',"
      "'code':'ARUDD-0','message':'No money','status':'failed','will_retry':false,'metadata':{"
      "'telegram':'42','by':'us'},'attempt':1,'reference':'PM1'}}" },
    { "gocardless: a payment that is tried again", "gocardless",
      "{'events':[{'id':'EV1','created_at':'2026-11-20T10:00:00.000Z','resource_type':'payments',"
      "'action':'failed','links':{'payment':'PM1'},'details':{'cause':'other','will_attempt_retry':true,"
      "'reason_code':null},'metadata':{},'resource_metadata':null}],'meta':{'webhook_id':'WB1'}}",
      "{'type':'payment.failed','occurred_at':'2026-11-20T10:00:00.000Z','payment':{'id':'PM1',"
      "'reason':'other','status':'failed','will_retry':true,'attempt':1,'reference':'PM1'}}" },
    { "gocardless: a payment", "gocardless",
      "{'events':[{'id':'EV1','created_at':'2026-11-20T10:00:00.000Z','resource_type':'payments',"
      "'action':'confirmed','links':{'payment':'PM1','mandate':'MD1','customer':'CU1','subscription':'SB1',"
      "'organisation':'OR1'},'details':{'cause':'payment_confirmed','reason_code':'X',"
      "'description':'Done'}}],'meta':{'webhook_id':'WB1'}}",
      "{'type':'payment.succeeded','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['gocardless:CU1','gocardless:MD1']},'payment':{'id':'PM1','customer':'CU1',"
      "'mandate':'MD1','subscription':'SB1','message':'Done','status':'confirmed','reference':'PM1'}}" },
    { "gocardless: a chargeback", "gocardless",
      "{'events':[{'id':'EV1','created_at':'2026-11-20T10:00:00.000Z','resource_type':'payments',"
      "'action':'charged_back','links':{'payment':'PM1','mandate':'MD1','customer':'CU1',"
      "'subscription':'SB1','organisation':'OR1'},'details':{'origin':'bank','cause':'insufficient_funds',"
      "'description':'No money','scheme':'bacs','reason_code':'ARUDD-0','will_attempt_retry':null},"
      "'metadata':{'telegram':'42'}}],'meta':{'webhook_id':'WB1'}}",
      "{'type':'payment.disputed','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['gocardless:CU1','gocardless:MD1','telegram:42']},'payment':{'id':'PM1','customer':'CU1',"
      "'mandate':'MD1','subscription':'SB1','reason':'insufficient_funds','code':'ARUDD-0',"
      "'message':'No money','status':'charged_back','metadata':{'telegram':'42'},'reference':'PM1'}}" },
    { "gocardless: a refund", "gocardless",
      "{'events':[{'id':'EV1','created_at':'2026-11-20T10:00:00.000Z','resource_type':'refunds',"
      "'action':'paid','links':{'refund':'RF1','payment':'PM1'},'details':{'cause':'refund_paid'}}],"
      "'meta':{'webhook_id':'WB1'}}",
      "{'type':'payment.refunded','occurred_at':'2026-11-20T10:00:00.000Z','payment':{'id':'PM1',"
      "'refund':'RF1','reason':'refund_paid','status':'paid','reference':'PM1'}}" },
    { "gocardless: a subscription", "gocardless",
      "{'events':[{'id':'EV1','created_at':'2026-11-20T10:00:00.000Z','resource_type':'subscriptions',"
      "'action':'cancelled','links':{'payment':'PM1','mandate':'MD1','customer':'CU1','subscription':'SB1',"
      "'organisation':'OR1'},'details':{'cause':'mandate_cancelled'},'metadata':{'by':'us'},"
      "'resource_metadata':{'plan':'gold'}}],'meta':{'webhook_id':'WB1'}}",
      "{'type':'subscription.canceled','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['gocardless:CU1','gocardless:MD1']},'subscription':{'id':'SB1','customer':'CU1',"
      "'mandate':'MD1','status':'cancelled','reason':'mandate_cancelled','metadata':{'plan':'gold',"
      "'by':'us'}}}" },
};

/* Ids of what is paid back or contested, and nulls, which are what is not there. */
static const struct fields other_providers[] = {
    { "paddle: a refund names the transaction", "paddle",
      "{'event_id':'e','event_type':'adjustment.updated','occurred_at':'2026-11-20T10:00:00.599095Z',"
      "'data':{'id':'adj_1','action':'refund','status':'approved','transaction_id':'txn_1',"
      "'subscription_id':'sub_1','customer_id':'ctm_1','currency_code':'USD','reason':'other','totals':{"
      "'total':'500'}}}",
      "{'type':'payment.refunded','occurred_at':'2026-11-20T10:00:00.599Z','contact':{"
      "'identities':['paddle:ctm_1']},'payment':{'id':'txn_1','refund':'adj_1','order':'txn_1',"
      "'amount':500,'currency':'usd','reason':'other','customer':'ctm_1','subscription':'sub_1',"
      "'status':'approved','invoice':'txn_1','reference':'txn_1'}}" },
    { "paddle: a chargeback names the transaction", "paddle",
      "{'event_id':'e','event_type':'adjustment.created','occurred_at':'2026-11-20T10:00:00.599095Z',"
      "'data':{'id':'adj_1','action':'chargeback','status':'approved','transaction_id':'txn_1',"
      "'currency_code':'USD','totals':{'total':'500'}}}",
      "{'type':'payment.disputed','occurred_at':'2026-11-20T10:00:00.599Z','payment':{'id':'txn_1',"
      "'dispute':'adj_1','order':'txn_1','amount':500,'currency':'usd','status':'approved',"
      "'invoice':'txn_1','reference':'txn_1'}}" },
    { "polar: a refund names the order", "polar",
      "{'type':'refund.created','timestamp':'2026-11-20T10:00:00Z','data':{'id':'r','status':'succeeded',"
      "'reason':'other','amount':100,'currency':'usd','order_id':'o','subscription_id':'s',"
      "'customer_id':'c'}}",
      "{'type':'payment.refunded','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['polar:c']},'payment':{'id':'o','refund':'r','amount':100,'currency':'usd',"
      "'order':'o','subscription':'s','customer':'c','reason':'other','status':'succeeded','invoice':'o',"
      "'reference':'s'}}" },
    { "polar: a null is no total", "polar",
      "{'type':'order.paid','timestamp':'2026-11-20T10:00:00Z','data':{'id':'o','total_amount':null,"
      "'amount':100,'currency':'usd'}}",
      "{'type':'payment.succeeded','occurred_at':'2026-11-20T10:00:00.000Z','payment':{'id':'o',"
      "'amount':100,'currency':'usd','order':'o','invoice':'o','reference':'o'}}" },
    { "chargebee: a refund names the payment", "chargebee",
      "{'id':'ev','occurred_at':1763881200,'event_type':'payment_refunded','content':{'transaction':{"
      "'id':'txn_2','type':'refund','refunded_txn_id':'txn_1','amount':100,'currency_code':'USD'},"
      "'invoice':{'id':'7'}}}",
      "{'type':'payment.refunded','occurred_at':'2025-11-23T07:00:00.000Z','payment':{'id':'txn_1',"
      "'refund':'txn_2','amount':100,'currency':'usd','invoice':'7','reference':'7'}}" },
    { "chargebee: nulls are what is not there", "chargebee",
      "{'id':'ev','occurred_at':1763881200,'event_type':'payment_failed','content':{'transaction':{"
      "'id':null,'amount':null,'currency_code':null,'customer_id':'c'},'invoice':{'id':'7',"
      "'amount_due':100,'currency_code':'USD','subscription_id':'s'},'customer':{'id':null},"
      "'subscription':{'id':null,'customer_id':'c'}}}",
      "{'type':'payment.failed','occurred_at':'2025-11-23T07:00:00.000Z','contact':{"
      "'identities':['chargebee:c']},'payment':{'id':'7','amount':100,'currency':'usd','attempt':1,"
      "'invoice':'7','customer':'c','subscription':'s','reference':'7'}}" },
    { "chargebee: a plan that is null", "chargebee",
      "{'id':'ev','occurred_at':1763881200,'event_type':'subscription_changed','content':{'subscription':{"
      "'id':'s','plan_id':null,'subscription_items':[{'item_price_id':'ip'}]}}}",
      "{'type':'subscription.updated','occurred_at':'2025-11-23T07:00:00.000Z','subscription':{'id':'s',"
      "'cancel_at_period_end':false,'plan':'ip'}}" },
    { "adyen: a shopper who is not named by the recurring contract", "adyen",
      "{'notificationItems':[{'NotificationRequestItem':{'eventCode':'AUTHORISATION','success':'false',"
      "'eventDate':'2026-11-20T11:00:00+01:00','pspReference':'P1','amount':{'value':'1130',"
      "'currency':'EUR'},'additionalData':{'recurring.shopperReference':null,'shopperReference':'S1'}}}]}",
      "{'type':'payment.failed','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['adyen:S1']},'payment':{'id':'P1','amount':1130,'currency':'eur','customer':'S1',"
      "'status':'authorisation','attempt':1,'reference':'P1'}}" },
    { "paypal: a payer without an id", "paypal",
      "{'id':'WH','event_type':'PAYMENT.SALE.COMPLETED','create_time':'2026-11-20T10:00:00Z','resource':{"
      "'id':'S','amount':{'value':null,'total':'3.00','currency':'USD'},'payer':{'payer_id':null,"
      "'account_id':'A'}}}",
      "{'type':'payment.succeeded','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['paypal:A']},'payment':{'id':'S','amount':300,'currency':'usd','reference':'S'}}" },
    { "paypal: a subscription of the first version", "paypal",
      "{'id':'WH','event_type':'BILLING.SUBSCRIPTION.CANCELLED','create_time':'2026-11-20T10:00:00Z',"
      "'resource':{'id':'I-1','state':'Cancelled','subscriber':{'payer_id':null},'payer':{'payer_info':{"
      "'payer_id':'P'}}}}",
      "{'type':'subscription.canceled','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['paypal:P']},'subscription':{'id':'I-1','status':'cancelled','customer':'P'}}" },
    { "paddle: a null is no total", "paddle",
      "{'event_id':'e','event_type':'transaction.completed','occurred_at':'2026-11-20T10:00:00Z','data':{"
      "'id':'txn_1','currency_code':'USD','details':{'totals':{'grand_total':null,'total':'5'}}}}",
      "{'type':'payment.succeeded','occurred_at':'2026-11-20T10:00:00.000Z','payment':{'id':'txn_1',"
      "'amount':5,'currency':'usd','reference':'txn_1'}}" },
    { "mollie: a payment that is no refund", "mollie",
      "{'id':'event_1','type':'payment.paid','entityId':null,'createdAt':'2026-11-20T10:00:00Z',"
      "'_embedded':{'entity':{'id':'tr_1','paymentId':null,'amount':{'currency':'EUR','value':10.5}}}}",
      "{'type':'payment.succeeded','occurred_at':'2026-11-20T10:00:00.000Z','payment':{'id':'tr_1',"
      "'amount':1050,'currency':'eur','reference':'tr_1'}}" },
    { "stripe: a null is no amount", "stripe",
      "{'id':'evt','created':1763881200,'type':'invoice.payment_failed','data':{'object':{"
      "'object':'invoice','id':'in_1','amount_due':null,'total':5,'currency':'usd'}}}",
      "{'type':'payment.failed','occurred_at':'2025-11-23T07:00:00.000Z','payment':{'id':'in_1','amount':5,"
      "'currency':'usd','attempt':1,'invoice':'in_1','reference':'in_1'}}" },
    { "stripe: a dispute of an intent", "stripe",
      "{'id':'evt','created':1763881200,'type':'charge.dispute.created','data':{'object':{"
      "'object':'dispute','id':'dp_1','charge':null,'payment_intent':'pi_1','amount':5,'currency':'usd'}}}",
      "{'type':'payment.disputed','occurred_at':'2025-11-23T07:00:00.000Z','payment':{'id':'pi_1',"
      "'dispute':'dp_1','intent':'pi_1','amount':5,'currency':'usd','reference':'pi_1'}}" },
    { "shopify: whose order it is", "shopify",
      "{'id':1,'financial_status':'paid','total_price':10.5,'currency':'USD','customer':{'id':null},"
      "'customer_id':5,'created_at':'2026-11-20T10:00:00Z'}",
      "{'type':'order.completed','occurred_at':'2026-11-20T10:00:00.000Z','contact':{"
      "'identities':['shopify:5']},'order':{'id':'1','amount':1050,'currency':'usd',"
      "'payment_status':'paid'}}" },
};

static json_t *read_quoted(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p; p++) {
        if (*p == '\'') {
            *p = '"';
        }
    }
    json_t *json = json_loads(copy, 0, NULL);
    assert_non_null(json);
    free(copy);
    return json;
}

static void check(const struct fields *table, size_t count)
{
    static const char *const elsewhere[] = { "source", "provider", "provider_type", "body", "key" };
    for (size_t i = 0; i < count; i++) {
        json_t *body = read_quoted(table[i].body);
        json_t *expected = read_quoted(table[i].event);
        char *text = json_dumps(body, 0);
        json_t *events = events_of(table[i].kind, NULL, text);
        json_t *event = json_array_get(events, 0);
        assert_int_equal(json_array_size(events), 1);
        for (size_t k = 0; k < ARRAY_LEN(elsewhere); k++) {
            json_object_del(event, elsewhere[k]);
        }
        if (!json_equal(event, expected)) {
            char *is = json_dump(event);
            fail_msg("%s: %s", table[i].name, is);
        }
        free(text);
        json_decref(events);
        json_decref(expected);
        json_decref(body);
    }
}

static void each_field_is_in_its_place(void **state)
{
    (void)state;
    check(payments, ARRAY_LEN(payments));
}

static void refunds_name_what_was_paid_and_nulls_are_nothing(void **state)
{
    (void)state;
    check(other_providers, ARRAY_LEN(other_providers));
}

/* Shopify writes amounts as texts; numbers are read as well. What could not be given back is not counted. */
static void refunds_of_shopify_are_added_up(void **state)
{
    (void)state;
    static const char body[] =
        "{\"id\":1,\"order_id\":2,\"transactions\":[{\"parent_id\":9,\"kind\":\"refund\",\"amount\":5.5,\"currency\":\"USD\"},"
        "{\"parent_id\":9,\"kind\":\"refund\",\"amount\":\"1.05\",\"currency\":\"USD\"},"
        "{\"kind\":\"change\",\"amount\":\"7.00\",\"currency\":\"USD\"},{\"kind\":\"refund\",\"amount\":null},"
        "{\"kind\":\"refund\",\"amount\":\"2.00\",\"currency\":\"USD\",\"status\":\"failure\"},"
        "{\"kind\":\"refund\",\"amount\":\"3.00\",\"currency\":\"USD\",\"status\":\"error\"}]}";
    const struct webhook_header header = { "X-Shopify-Topic", "refunds/create" };
    struct webhook w = {
        .source = "s", .headers = &header, .header_count = 1, .body = bytes_of(body), .now = TEST_NOW
    };
    json_t *events = json_array();
    assert_int_equal(channel_find("shopify")->parse(&w, NULL, events, NULL), ERR_NONE);
    expect_at(events, "0.payment.amount", "655");
    expect_at(events, "0.payment.currency", "usd");
    expect_at(events, "0.payment.id", "9");
    json_decref(events);
}

static int start(void **state)
{
    (void)state;
    crypto_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_is_in_its_place),
        cmocka_unit_test(refunds_name_what_was_paid_and_nulls_are_nothing),
        cmocka_unit_test(refunds_of_shopify_are_added_up),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
