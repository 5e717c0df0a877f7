//! The maintenance windows of a tenant.

use axum::extract::State;
use tokio_postgres::types::Type;

use super::read::{ShownWindow, WINDOW_COLUMNS};
use crate::App;
use crate::answers::{ApiResult, Data};
use crate::requests::Caller;

const MOST: i64 = 1_000;

/// The newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
) -> ApiResult<Data<Vec<ShownWindow>>> {
    // Relies on the index maintenance_window_of_tenant.
    let statement = format!(
        "select {WINDOW_COLUMNS}, count(*) over () as total from maintenance_window where tenant = $1
         order by created_at desc, window_id limit $2"
    );
    let client = app.pool.get().await?;
    let rows = client.query_typed(&statement, &[(&tenant.0, Type::TEXT), (&MOST, Type::INT8)]).await?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
    let now = (app.clock)();
    let shown = rows.iter().map(|row| ShownWindow::of(row, now)).collect::<ApiResult<_>>()?;
    Ok(Data::list(shown, total, None))
}
