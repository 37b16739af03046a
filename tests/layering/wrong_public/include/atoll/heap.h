// Layer: heap
#pragma once
